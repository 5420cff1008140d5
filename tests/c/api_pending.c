/* Calls that are started and waited for apart. */
#include "harness.h"

#include <pthread.h>

static potluck_system_t kitchen;
static potluck_peer_t ada, bob;

static potluck_call_t call_of(uint32_t verb, const char *to, const char *name) {
  potluck_call_t call;
  memset(&call, 0, sizeof call);
  call.struct_size = sizeof call;
  call.verb = verb;
  call.to = to;
  call.name = name;
  call.timeout_ms = TIMEOUT_MS;
  return call;
}

static void done_at_once(void) {
  potluck_call_t call = call_of(POTLUCK_CALL_REQUEST, "ada", "soup");
  potluck_pending_t pending = {7};
  potluck_resource_t first, again, none = {7};
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  OK(potluck_peer_start(bob, &call, &pending));
  OK(potluck_pending_wait(pending, 0, &first));
  OK(potluck_pending_wait(pending, -1, &again));
  CHECK(holds(first, "tomato") && holds(again, "tomato") && first.id != again.id);
  OK(potluck_pending_wait(pending, 0, NULL));
  OK(potluck_pending_release(pending));
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_pending_wait(pending, 0, &none));
  CHECK(none.id == 0);
  EXPECT_TEXT(POTLUCK_E_INVALID_HANDLE, "a pending call", potluck_pending_release(pending));
  OK(potluck_resource_release(again));

  call.than = first;
  OK(potluck_peer_start(bob, &call, &pending));
  EXPECT(POTLUCK_NOT_NEWER, potluck_pending_wait(pending, 0, &none));
  CHECK(none.id == 0);
  OK(potluck_pending_release(pending));
  OK(potluck_resource_release(first));

  call = call_of(POTLUCK_CALL_FETCH, NULL, "soup");
  OK(potluck_peer_start(bob, &call, &pending));
  OK(potluck_pending_release(pending));
  call = call_of(POTLUCK_CALL_EXCHANGE, "ada", "soup");
  OK(potluck_peer_start(bob, &call, &pending));
  OK(potluck_pending_wait(pending, 0, &first));
  CHECK(holds(first, "tomato"));
  OK(potluck_resource_release(first));
  OK(potluck_pending_release(pending));
  call = call_of(POTLUCK_CALL_OFFER, "ada", "soup");
  OK(potluck_peer_start(bob, &call, &pending));
  none.id = 7;
  OK(potluck_pending_wait(pending, 0, &none));
  CHECK(none.id == 0);
  OK(potluck_pending_release(pending));
}

static void *wait_for_it(void *pending) {
  potluck_resource_t none = {7};
  potluck_status_t status = potluck_pending_wait(*(potluck_pending_t *)pending, TIMEOUT_MS, &none);
  /* It has begun to wait, or it came too late to find the id. */
  CHECK(status == POTLUCK_E_CANCELED || status == POTLUCK_E_INVALID_HANDLE);
  CHECK(none.id == 0);
  return NULL;
}

static void goes_on(void) {
  potluck_call_t call = call_of(POTLUCK_CALL_ASK, "ada", "taste");
  potluck_pending_t pending, other;
  potluck_message_t question;
  potluck_message_info_t info = {sizeof info, NULL, NULL, NULL, 0, 0, 0};
  potluck_resource_t answer = {7};
  pthread_t waiter;
  call.data = (const uint8_t *)"soup";
  call.data_len = 4;
  EXPECT(POTLUCK_PENDING, potluck_peer_start(bob, &call, &pending));
  EXPECT(POTLUCK_PENDING, potluck_pending_wait(pending, 0, &answer));
  EXPECT(POTLUCK_PENDING, potluck_pending_wait(pending, 10, &answer));
  CHECK(answer.id == 0);
  OK(potluck_peer_receive(ada, TIMEOUT_MS, &question));
  OK(potluck_message_info(question, &info));
  CHECK(strcmp(info.kind, "taste") == 0 && info.data_len == 4 && memcmp(info.data, "soup", 4) == 0);
  OK(potluck_message_reply(question, "more salt", 9));
  OK(potluck_message_release(question));
  OK(potluck_pending_wait(pending, TIMEOUT_MS, &answer));
  CHECK(holds(answer, "more salt"));
  OK(potluck_resource_release(answer));
  OK(potluck_pending_release(pending));

  /* Released while somebody waits for it: given up. */
  EXPECT(POTLUCK_PENDING, potluck_peer_start(bob, &call, &other));
  CHECK(other.id != pending.id);
  CHECK(pthread_create(&waiter, NULL, wait_for_it, &other) == 0);
  OK(potluck_peer_receive(ada, TIMEOUT_MS, &question));
  OK(potluck_pending_release(other));
  CHECK(pthread_join(waiter, NULL) == 0);
  EXPECT(POTLUCK_E_CANCELED, potluck_message_reply(question, "late", 4));
  OK(potluck_message_release(question));
}

static void wrong_input(void) {
  potluck_call_t call = call_of(POTLUCK_CALL_REQUEST, "ada", "soup");
  potluck_pending_t pending = {7};
  uint32_t verb;
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "call is NULL", potluck_peer_start(bob, NULL, &pending));
  CHECK(pending.id == 0);
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "out_pending is NULL", potluck_peer_start(bob, &call, NULL));
  call.struct_size = 0;
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "struct_size of call", potluck_peer_start(bob, &call, &pending));
  for (verb = 0; verb < 200; verb += verb == 0 ? 7 : 61) {
    call = call_of(verb, "ada", "soup");
    EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "verb", potluck_peer_start(bob, &call, &pending));
  }
  call = call_of(POTLUCK_CALL_FETCH, "ada", "soup");
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "to of call", potluck_peer_start(bob, &call, &pending));
  call = call_of(POTLUCK_CALL_OFFER, "ada", "soup");
  call.data = (const uint8_t *)"x";
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "data of call", potluck_peer_start(bob, &call, &pending));
  call = call_of(POTLUCK_CALL_REQUEST, NULL, "soup");
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "to is NULL", potluck_peer_start(bob, &call, &pending));
  call = call_of(POTLUCK_CALL_REQUEST, "ada", NULL);
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "name is NULL", potluck_peer_start(bob, &call, &pending));
  call = call_of(POTLUCK_CALL_REQUEST, "ada", "soup");
  call.reserved = 1;
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "reserved", potluck_peer_start(bob, &call, &pending));
  call.reserved = 0;
  call.timeout_ms = -2;
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "timeout_ms", potluck_peer_start(bob, &call, &pending));
  call.timeout_ms = 0;
  call.than.id = 12345;
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_peer_start(bob, &call, &pending));
  call = call_of(POTLUCK_CALL_TELL, "ada", "k");
  call.data_len = 1;
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "data is NULL", potluck_peer_start(bob, &call, &pending));
  call = call_of(POTLUCK_CALL_ASK, "ada", "k");
  call.timeout_ms = 0;
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_peer_start(bob, &call, &pending));
  call = call_of(POTLUCK_CALL_REQUEST, "eve", "soup");
  EXPECT(POTLUCK_E_NO_SUCH_PEER, potluck_peer_start(bob, &call, &pending));
  CHECK(pending.id == 0);
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_pending_wait(pending, 0, NULL));
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_pending_release(pending));
  pending.id = bob.id;
  EXPECT_TEXT(POTLUCK_E_INVALID_HANDLE, "this is a peer", potluck_pending_wait(pending, 0, NULL));
}

static void outlives_its_system(void) {
  potluck_call_t call = call_of(POTLUCK_CALL_ASK, "ada", "taste");
  potluck_pending_t of_bob, late;
  potluck_resource_t answer = {7};
  call.timeout_ms = -1;
  EXPECT(POTLUCK_PENDING, potluck_peer_start(bob, &call, &of_bob));
  call.timeout_ms = 5;
  EXPECT(POTLUCK_PENDING, potluck_peer_start(bob, &call, &late));
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_pending_wait(late, TIMEOUT_MS, &answer));
  OK(potluck_pending_release(late));
  OK(potluck_peer_close(bob, TIMEOUT_MS));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  EXPECT(POTLUCK_E_CLOSED, potluck_pending_wait(of_bob, -1, &answer));
  CHECK(answer.id == 0);
  OK(potluck_pending_release(of_bob));
  EXPECT(POTLUCK_E_CLOSED, potluck_peer_start(bob, &call, &late));
}

int main(void) {
  begin();
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  done_at_once();
  goes_on();
  wrong_input();
  outlives_its_system();
  return end("api_pending");
}
