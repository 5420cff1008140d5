/* Makes every decrement of a 64-bit atomic acquire and release, for the thread sanitizer.
 *
 * It does not understand fences. The standard library ends an Arc by a decrement with Release and then a fence with Acquire (built
 * for the sanitizer itself it has a load instead of the fence), so each Arc that dies on another thread than the one that used it
 * last would be reported. With this no such decrement is; what is lost is that a decrement that should acquire and does not goes
 * unnoticed, which the models under loom look for.
 *
 * The linker puts it in place of the runtime's function: --wrap=__tsan_atomic64_fetch_sub. */
#include <stdint.h>

/* __tsan_memory_order_acq_rel */
#define ACQ_REL 4

uint64_t __real___tsan_atomic64_fetch_sub(volatile uint64_t *atomic, uint64_t less, int order);
uint64_t __wrap___tsan_atomic64_fetch_sub(volatile uint64_t *atomic, uint64_t less, int order);

uint64_t __wrap___tsan_atomic64_fetch_sub(volatile uint64_t *atomic, uint64_t less, int order) {
  (void)order;
  return __real___tsan_atomic64_fetch_sub(atomic, less, ACQ_REL);
}
