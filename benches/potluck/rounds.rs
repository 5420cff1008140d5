//! Timing: many short rounds of each way in turn, so that whatever the machine does meanwhile meets all of them alike.

use std::time::Instant;

use crate::Outcome;

/// One round of one way of doing a thing: what one call of it took, in ns.
pub(crate) type Way<'a> = dyn FnMut() -> Outcome<f64> + 'a;

/// The medians over the rounds of each way. A first round of each does not count.
pub(crate) fn interleaved<const N: usize>(rounds: usize, mut ways: [&mut Way<'_>; N]) -> Outcome<[f64; N]> {
    let medians = interleaved_all(rounds, &mut ways)?;
    Ok(medians.try_into().map_err(|_| "a median for each way")?)
}

/// [`interleaved`], where how many ways there are is known only at run time.
pub(crate) fn interleaved_all(rounds: usize, ways: &mut [&mut Way<'_>]) -> Outcome<Vec<f64>> {
    let mut times = vec![Vec::with_capacity(rounds); ways.len()];
    for round in 0..=rounds {
        for (way, times) in ways.iter_mut().zip(&mut times) {
            let time = way()?;
            if round > 0 {
                times.push(time);
            }
        }
    }
    Ok(times.into_iter().map(|mut times| quantile(&mut times, 0.5)).collect())
}

/// The time of one call in ns, out of `calls` in a row. Each says how much it did, and all together must have done `work`.
pub(crate) fn per_call(calls: usize, work: usize, mut call: impl FnMut() -> Outcome<usize>) -> Outcome<f64> {
    let start = Instant::now();
    let mut done = 0;
    for _ in 0..calls {
        done += call()?;
    }
    let time = start.elapsed();
    check("the work of a round", done, work)?;
    Ok(time.as_nanos() as f64 / calls as f64)
}

/// The time of each single call in ns, without what the clock itself takes.
pub(crate) fn singles(
    calls: usize,
    clock: f64,
    into: &mut Vec<f64>,
    mut call: impl FnMut() -> Outcome<()>,
) -> Outcome<()> {
    for _ in 0..calls {
        let start = Instant::now();
        call()?;
        into.push((start.elapsed().as_nanos() as f64 - clock).max(0.0));
    }
    Ok(())
}

/// What one look at the clock takes, in ns: the median of what two looks in a row are apart.
pub(crate) fn clock_ns() -> f64 {
    let mut apart: Vec<f64> = (0..10_001).map(|_| Instant::now().elapsed().as_nanos() as f64).collect();
    quantile(&mut apart, 0.5)
}

/// A quantile: 0.5 is the median.
pub(crate) fn quantile(times: &mut [f64], at: f64) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    let index = (times.len() as f64 * at) as usize;
    times[index.min(times.len() - 1)]
}

/// An error if what was done is not what was to be done.
pub(crate) fn check<T: PartialEq + std::fmt::Debug>(what: &str, done: T, expected: T) -> Outcome<()> {
    if done == expected { Ok(()) } else { Err(format!("{what}: {done:?}, and not {expected:?}").into()) }
}
