/* Every call does what the header says, without callbacks. */
#include "harness.h"

static potluck_system_t kitchen;
static potluck_peer_t ada, bob;

static void shares_and_requests(void) {
  potluck_resource_t soup, same;
  potluck_resource_info_t info;
  potluck_list_t list;
  const potluck_item_t *items;
  size_t items_len;
  uint64_t version = 7;

  OK(potluck_peer_share(ada, "soup", "tomato", 6, &version));
  CHECK(version == 1);
  OK(potluck_peer_share(ada, "soup", "potato", 6, &version));
  CHECK(version == 2);
  OK(potluck_peer_request(bob, "ada", "soup", 0, &soup));
  memset(&info, 0xff, sizeof info);
  info.struct_size = sizeof info;
  OK(potluck_resource_info(soup, &info));
  CHECK(strcmp(info.name, "soup") == 0 && strcmp(info.origin, "ada") == 0 && info.version == 2);
  CHECK(info.data_len == 6 && memcmp(info.data, "potato", 6) == 0 && info.struct_size == sizeof info);
  OK(potluck_peer_get(bob, "soup", &same));
  CHECK(holds(same, "potato") && same.id != soup.id);
  OK(potluck_resource_release(same));

  OK(potluck_peer_share(ada, "bread", NULL, 0, NULL));
  OK(potluck_peer_resources(ada, &list));
  OK(potluck_list_items(list, &items, &items_len));
  CHECK(items_len == 2 && strcmp(items[0].name, "bread") == 0 && strcmp(items[1].name, "soup") == 0);
  CHECK(items[0].size == 0 && items[1].size == 6 && items[1].version == 2 && strcmp(items[1].from, "ada") == 0);
  CHECK(strcmp(items[0].peer, "") == 0 && strcmp(items[0].text, "") == 0);
  OK(potluck_list_release(list));

  OK(potluck_system_holders(kitchen, "soup", &list));
  OK(potluck_list_items(list, &items, &items_len));
  CHECK(items_len == 2 && strcmp(items[0].peer, "ada") == 0 && strcmp(items[1].peer, "bob") == 0);
  OK(potluck_list_release(list));
  OK(potluck_system_peers(kitchen, &list));
  OK(potluck_list_items(list, &items, &items_len));
  CHECK(items_len == 2 && strcmp(items[0].peer, "ada") == 0);
  OK(potluck_list_release(list));

  OK(potluck_peer_unshare(ada, "soup"));
  OK(potluck_peer_fetch(ada, "soup", TIMEOUT_MS, &same));
  CHECK(holds(same, "potato"));
  OK(potluck_resource_release(same));
  /* A resource that one has outlives its peer's shelf. */
  OK(potluck_peer_unshare(bob, "soup"));
  CHECK(holds(soup, "potato"));
  OK(potluck_resource_release(soup));
  OK(potluck_peer_request(bob, "ada", "bread", 0, &soup));
  CHECK(holds(soup, ""));
  OK(potluck_resource_release(soup));
}

static void shares_what_is_expected(void) {
  static const potluck_resource_t nothing = {0};
  potluck_error_t error = {sizeof error, 0, 0, 0, 0, NULL};
  potluck_resource_t first, second;
  uint64_t version = 7;
  OK(potluck_peer_share_if(ada, "stew", "beef", 4, nothing, &version));
  CHECK(version == 1);
  OK(potluck_peer_get(ada, "stew", &first));
  EXPECT_TEXT(POTLUCK_E_VERSION_CONFLICT, "version 1", potluck_peer_share_if(ada, "stew", "x", 1, nothing, &version));
  CHECK(version == 0);
  OK(potluck_last_error_detail(&error));
  CHECK(error.status == POTLUCK_E_VERSION_CONFLICT && error.number == 1);
  OK(potluck_peer_share_if(ada, "stew", "bean", 4, first, &version));
  CHECK(version == 2);
  EXPECT(POTLUCK_E_VERSION_CONFLICT, potluck_peer_share_if(ada, "stew", "x", 1, first, NULL));
  OK(potluck_peer_get(ada, "stew", &second));
  CHECK(holds(second, "bean"));
  OK(potluck_peer_unshare(ada, "stew"));
  EXPECT_TEXT(POTLUCK_E_VERSION_CONFLICT, "nothing", potluck_peer_share_if(ada, "stew", "x", 1, second, NULL));
  OK(potluck_last_error_detail(&error));
  CHECK(error.status == POTLUCK_E_VERSION_CONFLICT && error.number == 0);
  EXPECT(POTLUCK_E_NO_SUCH_RESOURCE, potluck_peer_get(ada, "stew", NULL));
  OK(potluck_resource_release(second));
  OK(potluck_resource_release(first));
}

static void requests_what_is_newer(void) {
  static const potluck_resource_t any = {0};
  potluck_resource_t first, second, none = {7};
  potluck_peer_t eve;
  OK(potluck_peer_spawn(kitchen, "eve", NULL, &eve));
  OK(potluck_peer_share(eve, "pie", "apple", 5, NULL));
  OK(potluck_peer_request_newer(bob, "eve", "pie", any, 0, &first));
  CHECK(holds(first, "apple"));
  OK(potluck_peer_unshare(bob, "pie"));
  EXPECT(POTLUCK_NOT_NEWER, potluck_peer_request_newer(bob, "eve", "pie", first, TIMEOUT_MS, &none));
  CHECK(none.id == 0);
  EXPECT(POTLUCK_NOT_NEWER, potluck_peer_request_newer(bob, "eve", "pie", first, 0, NULL));
  EXPECT(POTLUCK_NOT_NEWER, potluck_peer_request_newer(eve, "eve", "pie", first, 0, NULL));
  EXPECT(POTLUCK_E_NO_SUCH_RESOURCE, potluck_peer_get(bob, "pie", NULL));
  OK(potluck_peer_share(eve, "pie", "plum", 4, NULL));
  OK(potluck_peer_request_newer(bob, "eve", "pie", first, 0, &second));
  CHECK(holds(second, "plum") && holds(first, "apple"));
  OK(potluck_resource_release(first));

  /* Spawned again under the old name: another origin, which counts from 1. */
  OK(potluck_peer_close(eve, TIMEOUT_MS));
  OK(potluck_peer_spawn(kitchen, "eve", NULL, &eve));
  OK(potluck_peer_share(eve, "pie", "pear", 4, NULL));
  OK(potluck_peer_request_newer(bob, "eve", "pie", second, 0, &first));
  CHECK(holds(first, "pear"));
  OK(potluck_resource_release(second));
  OK(potluck_resource_release(first));
  OK(potluck_peer_close(eve, TIMEOUT_MS));
}

/* A resource given for comparison that has another name than the call's, or none. */
static void others_names(void) {
  potluck_resource_t bread, soup;
  OK(potluck_peer_share(ada, "bread", "rye", 3, NULL));
  OK(potluck_peer_get(ada, "bread", &bread));
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "expected", potluck_peer_share_if(ada, "soup", "x", 1, bread, NULL));
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "than", potluck_peer_request_newer(bob, "ada", "soup", bread, 0, NULL));
  EXPECT(POTLUCK_E_VERSION_CONFLICT, potluck_peer_share_if(ada, "soup", "x", 1, (potluck_resource_t){0}, NULL));
  OK(potluck_peer_request_newer(bob, "ada", "soup", (potluck_resource_t){0}, 0, &soup));
  CHECK(holds(soup, "tomato"));
  OK(potluck_resource_release(soup));
  OK(potluck_resource_release(bread));
  OK(potluck_peer_unshare(ada, "bread"));
}

static void says_what_is_wrong(void) {
  potluck_events_t events = {7};
  int status;
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  EXPECT_TEXT(POTLUCK_E_NAME_TAKEN, "ada", potluck_peer_spawn(kitchen, "ada", NULL, NULL));
  EXPECT_TEXT(POTLUCK_E_NO_SUCH_PEER, "eve", potluck_peer_request(ada, "eve", "soup", 0, NULL));
  EXPECT_TEXT(POTLUCK_E_NO_SUCH_PEER, "bob@laptop", potluck_peer_request(ada, "bob@laptop", "soup", 0, NULL));
  EXPECT_TEXT(POTLUCK_E_NO_SUCH_RESOURCE, "cake", potluck_peer_request(bob, "ada", "cake", 0, NULL));
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "capacity", potluck_system_events(kitchen, 0, &events));
  CHECK(events.id == 0);
  for (status = -3; status < 100; status++) CHECK(potluck_status_str(status) != NULL && potluck_status_str(status)[0] != 0);
}

static void offers_and_exchanges(void) {
  potluck_resource_t got;
  OK(potluck_peer_share(ada, "dish", "soup", 4, NULL));
  OK(potluck_peer_share(bob, "dish", "bread", 5, NULL));
  OK(potluck_peer_exchange(ada, "bob", "dish", TIMEOUT_MS, &got));
  CHECK(holds(got, "bread"));
  OK(potluck_resource_release(got));
  OK(potluck_peer_get(bob, "dish", &got));
  CHECK(holds(got, "soup"));
  OK(potluck_resource_release(got));
  OK(potluck_peer_offer(ada, "bob", "dish", 0));
  OK(potluck_peer_get(bob, "dish", &got));
  CHECK(holds(got, "bread"));
  OK(potluck_resource_release(got));
  EXPECT_TEXT(POTLUCK_E_NO_SUCH_RESOURCE, "ada", potluck_peer_offer(ada, "bob", "nothing", 0));
}

static void messages(void) {
  potluck_message_t message;
  potluck_message_info_t info = {sizeof info, NULL, NULL, NULL, 0, 0, 0};
  OK(potluck_peer_tell(ada, "bob", "hello", "hi", 2, TIMEOUT_MS));
  OK(potluck_peer_receive(bob, TIMEOUT_MS, &message));
  OK(potluck_message_info(message, &info));
  CHECK(strcmp(info.from, "ada") == 0 && strcmp(info.kind, "hello") == 0 && info.is_ask == 0);
  CHECK(info.data_len == 2 && memcmp(info.data, "hi", 2) == 0);
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_message_reply(message, "no", 2));
  OK(potluck_message_release(message));
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_peer_receive(bob, 0, &message));
  CHECK(message.id == 0);
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_peer_ask(ada, "bob", "hello", NULL, 0, 0, NULL));
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_peer_receive(bob, 0, &message));
}

static void mingles_and_reads_events(void) {
  potluck_events_t events;
  potluck_event_t event;
  potluck_list_t list;
  const potluck_item_t *items;
  size_t items_len;
  memset(&event, 0xff, sizeof event);
  event.struct_size = sizeof event;
  OK(potluck_peer_share(ada, "cake", "a", 1, NULL));
  OK(potluck_system_events(kitchen, 16, &events));
  OK(potluck_events_next(events, 0, &event));
  CHECK(event.kind == POTLUCK_EVENT_JOINED && strcmp(event.peer, "ada") == 0 && event.other[0] == 0);
  OK(potluck_events_next(events, 0, &event));
  CHECK(event.kind == POTLUCK_EVENT_JOINED && strcmp(event.peer, "bob") == 0);
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_events_next(events, 0, &event));

  OK(potluck_system_mingle(kitchen, "cake", 7, TIMEOUT_MS, &list));
  OK(potluck_list_items(list, &items, &items_len));
  CHECK(items_len == 2);
  CHECK(strcmp(items[0].peer, "ada") == 0 && items[0].status == POTLUCK_E_NO_SUCH_RESOURCE && items[0].text[0] != 0);
  CHECK(strcmp(items[1].peer, "bob") == 0 && items[1].status == POTLUCK_OK && strcmp(items[1].from, "ada") == 0);
  CHECK(items[1].version == 1 && items[1].size == 1 && strcmp(items[1].name, "cake") == 0);
  OK(potluck_list_release(list));
  OK(potluck_events_next(events, 0, &event));
  CHECK(event.kind == POTLUCK_EVENT_REQUESTED && strcmp(event.peer, "ada") == 0 && strcmp(event.other, "bob") == 0);
  CHECK(strcmp(event.name, "cake") == 0 && event.version == 1 && event.size == 1);
  OK(potluck_events_next(events, 0, &event));
  CHECK(event.kind == POTLUCK_EVENT_RECEIVED && strcmp(event.peer, "bob") == 0 && strcmp(event.other, "ada") == 0);
  OK(potluck_events_close(events));
  EXPECT(POTLUCK_E_CLOSED, potluck_events_next(events, 0, &event));
  CHECK(event.kind == 0 && event.struct_size == sizeof event);
  OK(potluck_events_close(events));
}

int main(void) {
  uint32_t version = 0;
  potluck_error_t error = {sizeof error, 0, 0, 0, 0, NULL};
  begin();
  OK(potluck_check(POTLUCK_ABI, &version));
  CHECK(version == (POTLUCK_VERSION_MAJOR << 16 | POTLUCK_VERSION_MINOR << 8 | POTLUCK_VERSION_PATCH));
  EXPECT(POTLUCK_E_ABI_MISMATCH, potluck_check(POTLUCK_ABI + 1, NULL));
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  CHECK(sizeof(potluck_peer_t) == sizeof(uint64_t));
  shares_and_requests();
  shares_what_is_expected();
  requests_what_is_newer();
  says_what_is_wrong();
  others_names();
  offers_and_exchanges();
  messages();
  mingles_and_reads_events();

  /* The detail of a failure, and a success that leaves it. */
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_peer_ask(ada, "bob", "hello", NULL, 0, 0, NULL));
  OK(potluck_peer_share(ada, "soup", "x", 1, NULL));
  OK(potluck_last_error_detail(&error));
  CHECK(error.status == POTLUCK_E_TIMED_OUT && strcmp(error.text, potluck_last_error()) == 0);

  OK(potluck_peer_close(bob, TIMEOUT_MS));
  OK(potluck_peer_close(bob, TIMEOUT_MS));
  EXPECT(POTLUCK_E_CLOSED, potluck_peer_share(bob, "soup", "x", 1, NULL));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  EXPECT(POTLUCK_E_CLOSED, potluck_peer_get(ada, "soup", NULL));
  EXPECT(POTLUCK_E_CLOSED, potluck_system_peers(kitchen, NULL));
  return end("api_calls");
}
