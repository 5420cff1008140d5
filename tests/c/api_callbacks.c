/* Callbacks: what they get, what they answer, and when their user data is dropped. */
#include <pthread.h>

#include "harness.h"

typedef struct kitchen_book {
  int messages, requests, offers, received, stops, drops;
  potluck_message_t kept;
  pthread_t thread;
} kitchen_book;

static potluck_status_t on_message(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  kitchen_book *book = (kitchen_book *)user_data;
  potluck_message_info_t info = {sizeof info, NULL, NULL, NULL, 0, 0, 0};
  potluck_resource_t none;
  book->messages++;
  book->thread = pthread_self();
  OK(potluck_message_info(message, &info));
  if (strcmp(info.kind, "taste") == 0) {
    OK(potluck_message_reply(message, "salt", 4));
    EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_message_reply(message, "more", 4));
    return POTLUCK_OK;
  }
  if (strcmp(info.kind, "later") == 0) {
    book->kept = message;
    return POTLUCK_PENDING;
  }
  if (strcmp(info.kind, "is it kept?") == 0) {
    OK(potluck_message_reply(message, book->kept.id != 0 ? "yes" : "no", book->kept.id != 0 ? 3 : 2));
    return POTLUCK_OK;
  }
  if (strcmp(info.kind, "silence") == 0) return POTLUCK_OK;
  if (strcmp(info.kind, "fail") == 0) {
    OK(potluck_set_error("the oven is cold"));
    /* A call that fails meanwhile does not change the text that was given. */
    EXPECT(POTLUCK_E_NO_SUCH_RESOURCE, potluck_peer_get(peer, "nothing", &none));
    return POTLUCK_E_INTERNAL;
  }
  if (strcmp(info.kind, "fail silently") == 0) return POTLUCK_E_TIMED_OUT;
  if (strcmp(info.kind, "strange") == 0) return 12345;
  if (strcmp(info.kind, "ask yourself") == 0) {
    EXPECT(POTLUCK_E_DEADLOCK, potluck_peer_ask(peer, "ada", "taste", NULL, 0, TIMEOUT_MS, NULL));
    EXPECT(POTLUCK_DEFERRED, potluck_peer_close(peer, TIMEOUT_MS));
    OK(potluck_message_reply(message, "bye", 3));
    return POTLUCK_OK;
  }
  return POTLUCK_E_UNKNOWN_MESSAGE;
}

static potluck_status_t on_request(potluck_peer_t peer, const char *from, const char *name, void *user_data) {
  ((kitchen_book *)user_data)->requests++;
  CHECK(strcmp(from, "bob") == 0);
  if (strcmp(name, "secret") == 0) {
    OK(potluck_set_error("it is secret"));
    return POTLUCK_E_REFUSED;
  }
  if (strcmp(name, "fresh") == 0) OK(potluck_peer_share(peer, "fresh", "warm", 4, NULL));
  return POTLUCK_OK;
}

static potluck_status_t on_offer(potluck_peer_t peer, const char *from, potluck_resource_t offered, void *user_data) {
  (void)peer;
  ((kitchen_book *)user_data)->offers++;
  CHECK(strcmp(from, "bob") == 0);
  return holds(offered, "junk") ? POTLUCK_E_REFUSED : POTLUCK_OK;
}

static void on_received(potluck_peer_t peer, const char *from, potluck_resource_t received, void *user_data) {
  (void)peer;
  ((kitchen_book *)user_data)->received++;
  CHECK(strcmp(from, "bob") == 0);
  if (holds(received, "bomb")) OK(potluck_set_error("it ticks"));
  else CHECK(holds(received, "gift"));
}

static void on_stop(potluck_peer_t peer, void *user_data) {
  kitchen_book *book = (kitchen_book *)user_data;
  (void)peer;
  CHECK(book->drops == 0);
  book->stops++;
}

static void drop(void *user_data) { ((kitchen_book *)user_data)->drops++; }

static potluck_peer_options_t options_of(kitchen_book *book) {
  potluck_peer_options_t options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.on_message = on_message;
  options.on_request = on_request;
  options.on_offer = on_offer;
  options.on_received = on_received;
  options.on_stop = on_stop;
  options.user_data = book;
  options.drop = drop;
  return options;
}

static void asks(potluck_peer_t bob, kitchen_book *book) {
  potluck_resource_t answer;
  potluck_resource_info_t info = {sizeof info, NULL, NULL, 0, NULL, 0};
  OK(potluck_peer_ask(bob, "ada", "taste", NULL, 0, TIMEOUT_MS, &answer));
  OK(potluck_resource_info(answer, &info));
  CHECK(strcmp(info.name, "taste") == 0 && strcmp(info.origin, "ada") == 0 && info.version == 0 && holds(answer, "salt"));
  OK(potluck_resource_release(answer));
  CHECK(!pthread_equal(book->thread, pthread_self()));
  EXPECT(POTLUCK_E_NO_REPLY, potluck_peer_ask(bob, "ada", "silence", NULL, 0, TIMEOUT_MS, &answer));
  CHECK(answer.id == 0);
  EXPECT(POTLUCK_E_UNKNOWN_MESSAGE, potluck_peer_ask(bob, "ada", "what", NULL, 0, TIMEOUT_MS, NULL));
  EXPECT_TEXT(POTLUCK_E_HANDLER_FAILED, "the oven is cold", potluck_peer_ask(bob, "ada", "fail", NULL, 0, TIMEOUT_MS, NULL));
  EXPECT_TEXT(POTLUCK_E_HANDLER_FAILED, "timed out", potluck_peer_ask(bob, "ada", "fail silently", NULL, 0, TIMEOUT_MS, NULL));
  EXPECT_TEXT(POTLUCK_E_HANDLER_FAILED, "12345", potluck_peer_ask(bob, "ada", "strange", NULL, 0, TIMEOUT_MS, NULL));
  /* The peer lives on. */
  OK(potluck_peer_ask(bob, "ada", "taste", NULL, 0, TIMEOUT_MS, NULL));
}

static void *ask_later(void *argument) {
  potluck_resource_t answer;
  OK(potluck_peer_ask(*(potluck_peer_t *)argument, "ada", "later", NULL, 0, TIMEOUT_MS, &answer));
  CHECK(holds(answer, "now"));
  OK(potluck_resource_release(answer));
  return NULL;
}

static void keeps_a_message(potluck_peer_t bob, kitchen_book *book) {
  pthread_t asker;
  potluck_resource_t answer;
  int is_kept;
  CHECK(pthread_create(&asker, NULL, ask_later, &bob) == 0);
  /* Until the callback says so, it may be writing the book at this moment. */
  do {
    OK(potluck_peer_ask(bob, "ada", "is it kept?", NULL, 0, TIMEOUT_MS, &answer));
    is_kept = holds(answer, "yes");
    OK(potluck_resource_release(answer));
  } while (!is_kept);
  OK(potluck_message_reply(book->kept, "now", 3));
  CHECK(pthread_join(asker, NULL) == 0);
  OK(potluck_message_release(book->kept));
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_message_reply(book->kept, "now", 3));
}

/* A callback that returns nothing says by its text that it failed. */
static void fails_in_silence(potluck_system_t kitchen, potluck_peer_t bob, kitchen_book *book) {
  potluck_events_t events;
  potluck_event_t event;
  event.struct_size = sizeof event;
  OK(potluck_system_events(kitchen, 16, &events));
  OK(potluck_peer_share(bob, "parcel", "bomb", 4, NULL));
  OK(potluck_peer_offer(bob, "ada", "parcel", TIMEOUT_MS));
  do {
    OK(potluck_events_next(events, TIMEOUT_MS, &event));
  } while (event.kind != POTLUCK_EVENT_HANDLER_FAILED);
  CHECK(strcmp(event.peer, "ada") == 0 && strcmp(event.other, "bob") == 0 && strcmp(event.text, "it ticks") == 0);
  CHECK(event.reason == POTLUCK_E_HANDLER_FAILED);
  OK(potluck_events_close(events));
  OK(potluck_peer_ask(bob, "ada", "taste", NULL, 0, TIMEOUT_MS, NULL));
  CHECK(book->received == 2);
}

static void votes(potluck_peer_t bob, kitchen_book *book) {
  potluck_resource_t got;
  EXPECT_TEXT(POTLUCK_E_REFUSED, "it is secret", potluck_peer_request(bob, "ada", "secret", TIMEOUT_MS, &got));
  OK(potluck_peer_request(bob, "ada", "fresh", TIMEOUT_MS, &got));
  CHECK(holds(got, "warm"));
  OK(potluck_resource_release(got));
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_peer_request(bob, "ada", "fresh", 0, &got));
  OK(potluck_peer_share(bob, "parcel", "junk", 4, NULL));
  EXPECT(POTLUCK_E_REFUSED, potluck_peer_offer(bob, "ada", "parcel", TIMEOUT_MS));
  OK(potluck_peer_share(bob, "parcel", "gift", 4, NULL));
  OK(potluck_peer_offer(bob, "ada", "parcel", TIMEOUT_MS));
  /* Told before this message, which was sent after the offer. */
  OK(potluck_peer_ask(bob, "ada", "taste", NULL, 0, TIMEOUT_MS, NULL));
  CHECK(book->received == 1);
  CHECK(book->requests == 2 && book->offers == 2);
}

int main(void) {
  static kitchen_book book, unused;
  potluck_system_t kitchen;
  potluck_peer_t ada, bob, none;
  potluck_message_t message;
  potluck_peer_options_t options = options_of(&book), unused_options = options_of(&unused);
  begin();
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", &options, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));

  /* A spawn that fails drops the user data once, with no callback run. */
  EXPECT(POTLUCK_E_NAME_TAKEN, potluck_peer_spawn(kitchen, "ada", &unused_options, &none));
  CHECK(none.id == 0 && unused.drops == 1 && unused.stops == 0);
  EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_spawn(kitchen, "", &unused_options, &none));
  CHECK(unused.drops == 2);
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_spawn(kitchen, NULL, &unused_options, &none));
  CHECK(unused.drops == 3);
  none.id = 0;
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_peer_spawn((potluck_system_t){0}, "x", &unused_options, NULL));
  CHECK(unused.drops == 4);

  asks(bob, &book);
  keeps_a_message(bob, &book);
  votes(bob, &book);
  fails_in_silence(kitchen, bob, &book);
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_set_error("not in a callback"));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_receive(ada, 0, &message));

  OK(potluck_peer_ask(bob, "ada", "ask yourself", NULL, 0, TIMEOUT_MS, NULL));
  OK(potluck_peer_close(ada, TIMEOUT_MS));
  CHECK(book.stops == 1 && book.drops == 1);
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  CHECK(book.stops == 1 && book.drops == 1 && unused.drops == 4);
  return end("api_callbacks");
}
