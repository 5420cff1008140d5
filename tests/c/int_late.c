/* Calls at the end of a thread, from the destructors of its own data (pthread_key_create), and at the end of the process, from atexit: all
 * works as ever, also what waits. There is just no text of the last error any more where the thread's data are gone. */
#include "harness.h"

#include <pthread.h>

/* What is first used in such a destructor, a thread's last error, is to die with the thread, and that is over: glibc runs what is registered
 * then no more. So some bytes of each such thread are lost, and the leak check is off. */
#ifdef __cplusplus
extern "C"
#endif
    int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }

static potluck_system_t kitchen;
static potluck_peer_t ada, bob, cook;
static pthread_key_t key;
static ATOMIC(int) runs;

static potluck_status_t on_message(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  (void)peer, (void)user_data;
  return potluck_message_reply(message, "here", 4);
}

/* Every kind of wait: for an answer, a message, an event, a started call, a peer, a thread's end. */
static void calls(void) {
  const potluck_call_t ask = {.struct_size = sizeof ask, .verb = POTLUCK_CALL_ASK, .to = "cook", .name = "hello", .timeout_ms = TIMEOUT_MS};
  potluck_event_t event = {.struct_size = sizeof event};
  potluck_resource_t got;
  potluck_message_t message;
  potluck_pending_t pending;
  potluck_events_t events;
  potluck_peer_t eve;
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  OK(potluck_peer_request(bob, "ada", "soup", TIMEOUT_MS, &got));
  CHECK(holds(got, "tomato"));
  OK(potluck_resource_release(got));
  OK(potluck_peer_fetch(ada, "soup", TIMEOUT_MS, NULL));
  OK(potluck_system_mingle(kitchen, "soup", 7, TIMEOUT_MS, NULL));
  OK(potluck_peer_ask(bob, "cook", "hello", NULL, 0, TIMEOUT_MS, &got));
  CHECK(holds(got, "here"));
  OK(potluck_resource_release(got));
  OK(potluck_peer_tell(ada, "bob", "hello", NULL, 0, 0));
  OK(potluck_peer_receive(bob, TIMEOUT_MS, &message));
  OK(potluck_message_release(message));
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_peer_receive(bob, 10, &message));
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_system_wait_for(kitchen, "nobody", 10));
  OK(potluck_system_events(kitchen, 4, &events));
  while (potluck_events_next(events, 10, &event) == POTLUCK_OK) {}
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_events_next(events, 10, &event));
  OK(potluck_events_close(events));
  CHECK(potluck_peer_start(bob, &ask, &pending) <= POTLUCK_PENDING);
  OK(potluck_pending_wait(pending, TIMEOUT_MS, NULL));
  OK(potluck_pending_release(pending));
  OK(potluck_peer_spawn(kitchen, "eve", NULL, &eve));
  OK(potluck_peer_close(eve, TIMEOUT_MS));
  atomic_fetch_add(&runs, 1);
}

/* A destructor that sets a value anew runs again. */
static void destroy(void *left) {
  calls();
  if (left == &runs) CHECK(pthread_setspecific(key, &key) == 0);
}

static void *calls_before(void *unused) {
  (void)unused;
  CHECK(pthread_setspecific(key, &runs) == 0);
  calls();
  return NULL;
}

static void *has_never_called(void *unused) {
  (void)unused;
  CHECK(pthread_setspecific(key, &runs) == 0);
  return NULL;
}

/* Closes its own peer at the end of that peer's thread, which is after the last of its callbacks. */
static void close_cook(void *peer) {
  potluck_status_t status = potluck_peer_close(*(potluck_peer_t *)peer, 0);
  CHECK(status == POTLUCK_OK || status == POTLUCK_DEFERRED || status == POTLUCK_STILL_RUNNING);
  atomic_fetch_add(&runs, 1);
}

static pthread_key_t key_of_cook;

static potluck_status_t leaves_data(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  potluck_peer_t *own = (potluck_peer_t *)user_data;
  *own = peer;
  CHECK(pthread_setspecific(key_of_cook, own) == 0);
  return potluck_message_reply(message, "here", 4);
}

static void at_the_end_of_a_peers_thread(void) {
  static potluck_peer_t own;
  potluck_peer_options_t options = {.struct_size = sizeof options, .on_message = leaves_data, .user_data = &own};
  potluck_peer_t baker;
  const int before = atomic_load(&runs);
  CHECK(pthread_key_create(&key_of_cook, close_cook) == 0);
  OK(potluck_peer_spawn(kitchen, "baker", &options, &baker));
  OK(potluck_peer_ask(bob, "baker", "hello", NULL, 0, TIMEOUT_MS, NULL));
  OK(potluck_peer_close(baker, TIMEOUT_MS));
  CHECK(atomic_load(&runs) == before + 1);
}

static void at_exit(void) {
  calls();
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  CHECK(atomic_load(&runs) == 7);
  end("int_late");
}

int main(void) {
  potluck_peer_options_t options = {.struct_size = sizeof options, .on_message = on_message};
  pthread_t thread;
  begin();
  CHECK(pthread_key_create(&key, destroy) == 0);
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_peer_spawn(kitchen, "cook", &options, &cook));
  CHECK(pthread_create(&thread, NULL, calls_before, NULL) == 0 && pthread_join(thread, NULL) == 0);
  CHECK(pthread_create(&thread, NULL, has_never_called, NULL) == 0 && pthread_join(thread, NULL) == 0);
  at_the_end_of_a_peers_thread();
  CHECK(atexit(at_exit) == 0);
  return 0;
}
