/* potluck's archive beside another Rust archive (other.rs): each catches its own panics. potluck's is a real one, in its standard library: the
 * clock of this program stops, which no Rust program expects. */
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>

#include "harness.h"

int other_panics(void);
int other_thread_panics(void);

static int is_broken = 0;

/* In place of libc's. */
int clock_gettime(clockid_t clock, struct timespec *now) {
  if (__atomic_load_n(&is_broken, __ATOMIC_SEQ_CST)) {
    errno = EINVAL;
    return -1;
  }
  return (int)syscall(SYS_clock_gettime, clock, now);
}

int main(void) {
  potluck_system_t kitchen;
  potluck_peer_t ada, bob;
  potluck_resource_t soup;
  begin();
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  for (int round = 0; round < 3; round++) {
    CHECK(other_panics() == 7);
    CHECK(other_thread_panics() == 1);
    __atomic_store_n(&is_broken, 1, __ATOMIC_SEQ_CST);
    EXPECT_TEXT(POTLUCK_E_PANIC, "panic: ", potluck_system_wait_for(kitchen, "nobody", 1000));
    CHECK(other_panics() == 7);
    __atomic_store_n(&is_broken, 0, __ATOMIC_SEQ_CST);
    EXPECT(POTLUCK_E_TIMED_OUT, potluck_system_wait_for(kitchen, "nobody", 1));
    OK(potluck_peer_request(bob, "ada", "soup", TIMEOUT_MS, &soup));
    CHECK(holds(soup, "tomato"));
    OK(potluck_resource_release(soup));
  }
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  return end("beside");
}
