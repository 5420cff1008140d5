/* A thread of the host's own that is to be canceled (pthread_cancel) while it makes calls: each call ends as ever, the thread ends after it,
 * in the host's own code, and nothing aborts. A peer's thread that a callback wants to cancel goes on. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>

static potluck_system_t kitchen;
static potluck_peer_t ada, bob;
static potluck_events_t events;
static int inbox_fd, events_fd;
static ATOMIC(int) released, reached;

/* What a release function does may be a place to be canceled at, too. */
static void let_go(const uint8_t *data, size_t data_len, void *user_data) {
  (void)data, (void)data_len, (void)user_data;
  pthread_testcancel();
  atomic_fetch_add(&released, 1);
}

static void drop(void *user_data) {
  (void)user_data;
  pthread_testcancel();
  atomic_fetch_add(&released, 1);
}

/* The very first calls of the process, so that all is made here that is made once. */
static void opens(void) {
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_system_events(kitchen, 16, &events));
  OK(potluck_peer_fd(bob, &inbox_fd));
  OK(potluck_events_fd(events, &events_fd));
}

/* Descriptors become readable, and are so no longer. */
static void sends_and_takes(void) {
  potluck_event_t event = {.struct_size = sizeof event};
  potluck_message_t message;
  OK(potluck_peer_tell(ada, "bob", "hello", NULL, 0, 0));
  OK(potluck_peer_receive(bob, 0, &message));
  OK(potluck_message_release(message));
  while (potluck_events_next(events, 0, &event) == POTLUCK_OK) {}
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_peer_receive(bob, 10, &message));
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_events_next(events, 10, &event));
}

static void shares(void) {
  potluck_resource_t soup;
  OK(potluck_peer_share_owned(ada, "soup", "tomato", 6, let_go, NULL, NULL));
  OK(potluck_peer_request(bob, "ada", "soup", TIMEOUT_MS, &soup));
  OK(potluck_peer_offer(ada, "bob", "soup", TIMEOUT_MS));
  OK(potluck_peer_exchange(ada, "bob", "soup", TIMEOUT_MS, NULL));
  OK(potluck_peer_fetch(ada, "soup", TIMEOUT_MS, NULL));
  OK(potluck_system_mingle(kitchen, "soup", 7, TIMEOUT_MS, NULL));
  OK(potluck_peer_unshare(ada, "soup"));
  OK(potluck_peer_unshare(bob, "soup"));
  OK(potluck_resource_release(soup));
  EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_share_owned(ada, "*", "x", 1, let_go, NULL, NULL));
}

/* With a timer's thread, and a descriptor that goes with its call. */
static void starts(void) {
  const potluck_call_t call = {.struct_size = sizeof call, .verb = POTLUCK_CALL_ASK, .to = "bob", .name = "hello", .timeout_ms = TIMEOUT_MS};
  potluck_pending_t pending;
  int fd;
  EXPECT(POTLUCK_PENDING, potluck_peer_start(ada, &call, &pending));
  OK(potluck_pending_fd(pending, &fd));
  EXPECT(POTLUCK_PENDING, potluck_pending_wait(pending, 10, NULL));
  OK(potluck_pending_release(pending));
}

/* Threads are made, waited for and joined. */
static void spawns_and_closes(void) {
  potluck_peer_options_t options = {.struct_size = sizeof options, .drop = drop};
  potluck_peer_t eve;
  int fd;
  OK(potluck_peer_spawn(kitchen, "eve", &options, &eve));
  OK(potluck_peer_fd(eve, &fd));
  EXPECT(POTLUCK_E_NAME_TAKEN, potluck_peer_spawn(kitchen, "eve", &options, NULL));
  OK(potluck_system_snapshot(kitchen, NULL));
  OK(potluck_system_dead_letters(kitchen, NULL));
  OK(potluck_peer_close(eve, TIMEOUT_MS));
}

static void ends(void) {
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  OK(potluck_events_close(events));
}

static void *canceled(void *argument) {
  void (*calls)(void);
  memcpy(&calls, argument, sizeof calls);
  CHECK(pthread_cancel(pthread_self()) == 0);
  calls();
  atomic_fetch_add(&reached, 1);
  pthread_testcancel();
  CHECK(!"it is canceled there");
  return NULL;
}

static potluck_status_t cancels_its_thread(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  (void)peer, (void)user_data;
  CHECK(pthread_cancel(pthread_self()) == 0);
  pthread_testcancel();
  return potluck_message_reply(message, "here", 4);
}

static void in_a_callback(void) {
  potluck_peer_options_t options = {.struct_size = sizeof options, .on_message = cancels_its_thread};
  potluck_peer_t cook;
  potluck_resource_t reply;
  int i;
  OK(potluck_peer_spawn(kitchen, "cook", &options, &cook));
  for (i = 0; i < 3; i++) {
    OK(potluck_peer_ask(ada, "cook", "hello", NULL, 0, TIMEOUT_MS, &reply));
    CHECK(holds(reply, "here"));
    OK(potluck_resource_release(reply));
    /* The thread tells bob's inbox that it is readable. */
    OK(potluck_peer_tell(bob, "cook", "hello", NULL, 0, TIMEOUT_MS));
  }
  OK(potluck_peer_close(cook, TIMEOUT_MS));
}

int main(void) {
  static void (*const all[])(void) = {opens, sends_and_takes, shares, starts, spawns_and_closes, in_a_callback, ends};
  const int len = (int)(sizeof all / sizeof *all);
  int i;
  alarm(DEADLINE_S);
  for (i = 0; i < len; i++) {
    void (*calls)(void) = all[i];
    pthread_t thread;
    void *result = NULL;
    CHECK(pthread_create(&thread, NULL, canceled, &calls) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    CHECK(atomic_load(&reached) == i + 1);
  }
  /* Two bodies, two user data. */
  CHECK(atomic_load(&released) == 4);
  CHECK(close(inbox_fd) == 0 && close(events_fd) == 0);
  return end("int_canceled");
}
