/* Threads on demand: a peer's thread is made when there is first something to run on it, and its callbacks run there. */
#include <pthread.h>

#include "harness.h"

typedef struct {
  unsigned messages, received, stops, drops;
  pthread_t thread;
} cook_book;

static potluck_status_t on_message(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  cook_book *book = (cook_book *)user_data;
  (void)peer;
  book->messages++;
  book->thread = pthread_self();
  OK(potluck_message_reply(message, "salt", 4));
  return POTLUCK_OK;
}

static void on_received(potluck_peer_t peer, const char *from, potluck_resource_t received, void *user_data) {
  (void)peer, (void)from;
  CHECK(holds(received, "tomato"));
  ((cook_book *)user_data)->received++;
}

static void on_stop(potluck_peer_t peer, void *user_data) {
  cook_book *book = (cook_book *)user_data;
  CHECK(peer.id != 0 && book->drops == 0);
  book->stops++;
  book->thread = pthread_self();
}

static void on_drop(void *user_data) {
  ((cook_book *)user_data)->drops++;
}

static potluck_system_t lazy_system(void) {
  potluck_system_options_t options;
  potluck_system_t kitchen;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.lazy_threads = 1;
  OK(potluck_system_open("kitchen", &options, &kitchen));
  return kitchen;
}

static potluck_peer_t spawn(potluck_system_t kitchen, const char *name, potluck_peer_options_t options, cook_book *book) {
  potluck_peer_t peer;
  options.struct_size = sizeof options;
  options.user_data = book;
  options.drop = on_drop;
  OK(potluck_peer_spawn(kitchen, name, &options, &peer));
  return peer;
}

static void sharing_needs_no_callback(void) {
  potluck_system_t kitchen = lazy_system();
  potluck_peer_t ada, bob;
  potluck_resource_t soup;
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  OK(potluck_peer_request(bob, "ada", "soup", 0, &soup));
  CHECK(holds(soup, "tomato"));
  OK(potluck_resource_release(soup));
  OK(potluck_peer_tell(bob, "ada", "hello", "", 0, 0));
  /* It has no thread to wait for. */
  OK(potluck_peer_close(ada, 0));
  OK(potluck_peer_close(ada, 0));
  EXPECT(POTLUCK_E_CLOSED, potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, NULL));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
}

static void callbacks_run_on_one_thread_that_is_not_the_callers(void) {
  potluck_system_t kitchen = lazy_system();
  potluck_peer_options_t options = {.on_message = on_message, .on_received = on_received, .on_stop = on_stop};
  cook_book book = {0};
  potluck_peer_t ada = spawn(kitchen, "ada", options, &book), bob;
  potluck_resource_t answer;
  pthread_t ran_on;
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_peer_share(bob, "soup", "tomato", 6, NULL));
  OK(potluck_peer_ask(bob, "ada", "taste", "", 0, TIMEOUT_MS, &answer));
  CHECK(holds(answer, "salt"));
  OK(potluck_resource_release(answer));
  OK(potluck_peer_offer(bob, "ada", "soup", TIMEOUT_MS));
  OK(potluck_peer_ask(bob, "ada", "taste", "", 0, TIMEOUT_MS, NULL));
  ran_on = book.thread;
  CHECK(!pthread_equal(ran_on, pthread_self()));
  OK(potluck_peer_close(ada, TIMEOUT_MS));
  CHECK(book.messages == 2 && book.received == 1 && book.stops == 1 && book.drops == 1);
  CHECK(pthread_equal(ran_on, book.thread));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
}

static void user_data_of_callbacks_that_never_ran_is_dropped_by_the_close(void) {
  potluck_system_t kitchen = lazy_system();
  potluck_peer_options_t hears = {.on_message = on_message}, stops = {.on_stop = on_stop}, nothing = {0};
  cook_book books[3] = {{0}, {0}, {0}};
  potluck_peer_t ada = spawn(kitchen, "ada", hears, &books[0]);
  potluck_peer_t bob = spawn(kitchen, "bob", stops, &books[1]);
  spawn(kitchen, "eve", nothing, &books[2]);
  OK(potluck_peer_close(ada, 0));
  CHECK(books[0].drops == 1 && books[0].messages == 0);
  OK(potluck_peer_close(bob, TIMEOUT_MS));
  CHECK(books[1].drops == 1 && books[1].stops == 1 && !pthread_equal(books[1].thread, pthread_self()));
  CHECK(books[2].drops == 0);
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  CHECK(books[2].drops == 1);
}

int main(void) {
  begin();
  sharing_needs_no_callback();
  callbacks_run_on_one_thread_that_is_not_the_callers();
  user_data_of_callbacks_that_never_ran_is_dropped_by_the_close();
  return end("api_lazy_threads");
}
