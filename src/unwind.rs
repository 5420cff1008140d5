//! User code that may panic: handlers, and destructors of what users have given.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sync::Arc;

/// Runs user code; gives the text of its panic.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (_, Some(text)) => text.clone(),
            _ => "it panicked with a value that is no text".to_owned(),
        };
        drop_user_data::<Box<dyn Any + Send>>(panic);
        text
    })
}

/// Drops a reference; the last one runs the destructor, as [`drop_user_data`] does.
pub(crate) fn drop_reference<T>(reference: Arc<T>) {
    if let Some(last) = Arc::into_inner(reference) {
        drop_user_data(last);
    }
}

/// Drops what may run a user's destructor; under no lock and with no turn taken for an operation.
///
/// It runs on whichever thread drops the last reference, which has done nothing wrong: a panic ends here. The panic hook
/// has said what there is to say.
pub(crate) fn drop_user_data<T>(data: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(data))) {
        // The value of the panic has a destructor, too; one that panics in its turn is left alone.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(panic)));
    }
}
