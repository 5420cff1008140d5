/* Threads of the host and callbacks of several peers at once. Of one peer one callback runs at a time, and none after its close, so
 * its user data needs no lock: here it has none, and the thread sanitizer would see where the library lets two at it. */
#include "harness.h"

#include <pthread.h>

#define COOKS 3
#define GUESTS 3
/* Whoever compiles may give another number. */
#ifndef ROUNDS
#define ROUNDS 200
#endif

typedef struct {
  unsigned tells, asks, requests, offers, received, stops;
  char last[16];
} cook_book;

static potluck_system_t kitchen;
static cook_book books[COOKS];
static unsigned drops[COOKS];

static potluck_status_t on_message(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  cook_book *book = (cook_book *)user_data;
  potluck_message_info_t info = {.struct_size = sizeof info};
  OK(potluck_message_info(message, &info));
  CHECK(info.data_len < sizeof book->last);
  memcpy(book->last, info.data, info.data_len);
  if (!info.is_ask) {
    book->tells++;
    return POTLUCK_OK;
  }
  book->asks++;
  OK(potluck_peer_share(peer, "last", book->last, info.data_len, NULL));
  OK(potluck_message_reply(message, book->last, info.data_len));
  return POTLUCK_OK;
}

static potluck_status_t on_request(potluck_peer_t peer, const char *from, const char *name, void *user_data) {
  (void)peer;
  CHECK(strncmp(from, "guest", 5) == 0 && strcmp(name, "last") == 0);
  ((cook_book *)user_data)->requests++;
  return POTLUCK_OK;
}

static potluck_status_t on_offer(potluck_peer_t peer, const char *from, potluck_resource_t offered, void *user_data) {
  (void)peer, (void)from;
  CHECK(holds(offered, "a gift"));
  ((cook_book *)user_data)->offers++;
  return POTLUCK_OK;
}

static void on_received(potluck_peer_t peer, const char *from, potluck_resource_t received, void *user_data) {
  (void)peer, (void)from;
  CHECK(holds(received, "a gift"));
  ((cook_book *)user_data)->received++;
}

static void on_stop(potluck_peer_t peer, void *user_data) {
  (void)peer;
  ((cook_book *)user_data)->stops++;
}

static void drop(void *user_data) { drops[(cook_book *)user_data - books]++; }

static void *guest(void *argument) {
  const char *name = (const char *)argument;
  potluck_peer_t own;
  OK(potluck_peer_spawn(kitchen, name, NULL, &own));
  OK(potluck_peer_share(own, name, "a gift", 6, NULL));
  for (int i = 0; i < ROUNDS; i++) {
    char cook[8], text[16];
    potluck_resource_t got;
    snprintf(cook, sizeof cook, "cook%d", i % COOKS);
    snprintf(text, sizeof text, "%s %d", name, i);
    OK(potluck_peer_tell(own, cook, "note", text, strlen(text), TIMEOUT_MS));
    OK(potluck_peer_ask(own, cook, "taste", text, strlen(text), TIMEOUT_MS, &got));
    CHECK(holds(got, text));
    OK(potluck_resource_release(got));
    OK(potluck_peer_request(own, cook, "last", TIMEOUT_MS, &got));
    OK(potluck_resource_release(got));
    OK(potluck_peer_offer(own, cook, name, TIMEOUT_MS));
  }
  OK(potluck_peer_close(own, TIMEOUT_MS));
  return NULL;
}

int main(void) {
  static char names[GUESTS][8] = {"guest0", "guest1", "guest2"};
  static const char *const cook_names[COOKS] = {"cook0", "cook1", "cook2"};
  potluck_peer_t cooks[COOKS];
  pthread_t guests[GUESTS];
  cook_book sum = {0};
  begin();
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  for (int i = 0; i < COOKS; i++) {
    potluck_peer_options_t options = {.struct_size = sizeof options, .on_message = on_message, .on_request = on_request,
                                      .on_offer = on_offer, .on_received = on_received, .on_stop = on_stop,
                                      .user_data = &books[i], .drop = drop};
    OK(potluck_peer_spawn(kitchen, cook_names[i], &options, &cooks[i]));
  }
  for (int i = 0; i < GUESTS; i++) CHECK(pthread_create(&guests[i], NULL, guest, names[i]) == 0);
  for (int i = 0; i < GUESTS; i++) CHECK(pthread_join(guests[i], NULL) == 0);
  for (int i = 0; i < COOKS; i++) {
    OK(potluck_peer_close(cooks[i], TIMEOUT_MS));
    CHECK(books[i].stops == 1 && drops[i] == 1);
    sum.tells += books[i].tells;
    sum.asks += books[i].asks;
    sum.requests += books[i].requests;
    sum.offers += books[i].offers;
    sum.received += books[i].received;
  }
  CHECK(sum.tells == GUESTS * ROUNDS && sum.asks == GUESTS * ROUNDS && sum.received == GUESTS * ROUNDS);
  /* Asked again if the shelf has changed meanwhile. */
  CHECK(sum.requests >= GUESTS * ROUNDS && sum.offers >= GUESTS * ROUNDS);
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  return end("int_threads");
}
