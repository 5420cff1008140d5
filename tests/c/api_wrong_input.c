/* Wrong input gives a clear status with a text, and loses nothing. */
#include "harness.h"

static potluck_system_t kitchen;
static potluck_peer_t ada, bob;

static void bad_names(void) {
  static const char *const bad[] = {"", "a*b", "a$b", "a#b", "a?b", "a@b", "a\nb", "\x7f", "\xff\xfe", "a/b"};
  char too_long[POTLUCK_NAME_SIZE + 1], longest[POTLUCK_NAME_SIZE];
  potluck_peer_t none = {7};
  potluck_resource_t soup;
  potluck_system_t system = {7};
  size_t i;
  OK(potluck_peer_get(ada, "soup", &soup));
  memset(too_long, 'a', sizeof too_long - 1);
  too_long[sizeof too_long - 1] = 0;
  memset(longest, 'a', sizeof longest - 1);
  longest[sizeof longest - 1] = 0;
  for (i = 0; i < sizeof bad / sizeof *bad; i++) {
    EXPECT_TEXT(POTLUCK_E_INVALID_NAME, "invalid name", potluck_peer_spawn(kitchen, bad[i], NULL, &none));
    CHECK(none.id == 0);
    EXPECT(POTLUCK_E_INVALID_NAME, potluck_system_open(bad[i], NULL, &system));
    if (strcmp(bad[i], "a/b") != 0) {
      EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_share(ada, bad[i], "x", 1, NULL));
      EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_share_if(ada, bad[i], "x", 1, soup, NULL));
      EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_get(ada, bad[i], NULL));
      EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_request(bob, "ada", bad[i], 0, NULL));
      EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_request_newer(bob, "ada", bad[i], soup, 0, NULL));
      EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_fetch(bob, bad[i], 0, NULL));
    }
  }
  EXPECT_TEXT(POTLUCK_E_INVALID_NAME, "256 bytes", potluck_peer_spawn(kitchen, too_long, NULL, &none));
  EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_tell(ada, "bob", too_long, NULL, 0, 0));
  EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_tell(ada, "bob", "\xff", NULL, 0, 0));
  EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_share(ada, "a//b", "x", 1, NULL));
  OK(potluck_peer_share(ada, longest, "x", 1, NULL));
  OK(potluck_peer_unshare(ada, longest));
  EXPECT(POTLUCK_E_NO_SUCH_PEER, potluck_peer_request(ada, "bob@laptop", "soup", 0, NULL));
  EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_request(ada, "b*b", "soup", 0, NULL));
  EXPECT(POTLUCK_E_INVALID_NAME, potluck_peer_request_newer(ada, "b*b", "soup", soup, 0, NULL));
  OK(potluck_resource_release(soup));
}

static void null_pointers(void) {
  static const potluck_resource_t none = {0};
  potluck_events_t events;
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "name is NULL", potluck_peer_share(ada, NULL, "x", 1, NULL));
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "data is NULL", potluck_peer_share(ada, "soup", NULL, 1, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_share(ada, "soup", "x", SIZE_MAX, NULL));
  EXPECT(POTLUCK_E_LIMIT_REACHED, potluck_peer_share(ada, "soup", "x", SIZE_MAX / 2, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_share_if(ada, NULL, "x", 1, none, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_share_if(ada, "soup", NULL, 1, none, NULL));
  EXPECT(POTLUCK_E_LIMIT_REACHED, potluck_peer_share_if(ada, "soup", "x", SIZE_MAX / 2, none, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_system_open(NULL, NULL, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_system_open("kitchen", NULL, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_system_events(kitchen, 1, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_system_events(kitchen, 0, &events));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_system_holders(kitchen, NULL, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_system_mingle(kitchen, NULL, 0, 0, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_get(ada, NULL, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_unshare(ada, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_request(ada, NULL, "soup", 0, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_request(ada, "bob", NULL, 0, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_request_newer(ada, NULL, "soup", none, 0, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_request_newer(ada, "bob", NULL, none, 0, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_request_newer(ada, "bob", "soup", none, -2, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_fetch(ada, NULL, 0, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_offer(ada, NULL, NULL, 0));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_exchange(ada, NULL, NULL, 0, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_tell(ada, NULL, NULL, NULL, 0, 0));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_tell(ada, "bob", "k", NULL, 1, 0));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_ask(ada, "bob", NULL, NULL, 0, 0, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_receive(ada, 0, NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_set_error(NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_last_error_detail(NULL));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_offer(ada, "bob", "soup", -2));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_close(ada, INT64_MIN));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_system_shutdown(kitchen, -2, NULL));
  /* Out-parameters that are not wanted. */
  OK(potluck_peer_request(bob, "ada", "soup", INT64_MAX, NULL));
  OK(potluck_system_peers(kitchen, NULL));
}

static void struct_sizes(void) {
  struct {
    potluck_system_options_t options;
    uint64_t more;
  } larger;
  potluck_system_options_t options;
  potluck_resource_t soup;
  potluck_resource_info_t info;
  potluck_system_t system;
  memset(&options, 0, sizeof options);
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "struct_size", potluck_system_open("s", &options, &system));
  /* No version of it ends inside a field: half a pointer would be read. */
  options.struct_size = sizeof options - 1;
  EXPECT_TEXT(POTLUCK_E_INVALID_ARGUMENT, "struct_size", potluck_system_open("s", &options, &system));
  options.struct_size = sizeof options;
  options.peers_max = 1;
  options.mailbox_messages_max = 1;
  options.resource_bytes_max = 4;
  /* A caller of an older version knows less of it. */
  options.struct_size = offsetof(potluck_system_options_t, resource_bytes_max);
  OK(potluck_system_open("s", &options, &system));
  {
    potluck_peer_t peer, other;
    OK(potluck_peer_spawn(system, "a", NULL, &peer));
    EXPECT_TEXT(POTLUCK_E_LIMIT_REACHED, "peers_max", potluck_peer_spawn(system, "b", NULL, &other));
    OK(potluck_peer_share(peer, "soup", "tomato", 6, NULL));
    OK(potluck_peer_tell(peer, "a", "k", NULL, 0, 0));
    EXPECT(POTLUCK_E_FULL, potluck_peer_tell(peer, "a", "k", NULL, 0, 0));
    OK(potluck_system_shutdown(system, TIMEOUT_MS, NULL));
  }
  options.struct_size = sizeof options;
  OK(potluck_system_open("s", &options, &system));
  {
    potluck_peer_t peer;
    potluck_error_t error = {sizeof error, 0, 0, 0, 0, NULL};
    OK(potluck_peer_spawn(system, "a", NULL, &peer));
    EXPECT(POTLUCK_E_TOO_LARGE, potluck_peer_share(peer, "soup", "tomato", 6, NULL));
    OK(potluck_last_error_detail(&error));
    CHECK(error.status == POTLUCK_E_TOO_LARGE && error.number == 4 && error.number2 == 6);
    OK(potluck_system_shutdown(system, TIMEOUT_MS, NULL));
  }
  /* A caller of a newer version sets something that is not known here, or does not. */
  memset(&larger, 0, sizeof larger);
  larger.options.struct_size = sizeof larger;
  OK(potluck_system_open("s", &larger.options, &system));
  OK(potluck_system_shutdown(system, TIMEOUT_MS, NULL));
  larger.more = 1;
  EXPECT(POTLUCK_E_UNSUPPORTED, potluck_system_open("s", &larger.options, &system));
  CHECK(system.id == 0);

  OK(potluck_peer_get(ada, "soup", &soup));
  memset(&info, 0xff, sizeof info);
  info.struct_size = 0;
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_resource_info(soup, &info));
  info.struct_size = offsetof(potluck_resource_info_t, version);
  OK(potluck_resource_info(soup, &info));
  CHECK(strcmp(info.name, "soup") == 0 && info.version == UINT64_MAX);
  OK(potluck_resource_release(soup));
}

/* Each type's calls with an id that is none of that type. */
static void expect_invalid(uint64_t id, int is_resource, int is_message, int is_list) {
  potluck_resource_info_t resource_info = {sizeof resource_info, NULL, NULL, 0, NULL, 0};
  potluck_message_info_t message_info = {sizeof message_info, NULL, NULL, NULL, 0, 0, 0};
  const uint8_t *data = (const uint8_t *)"x";
  const potluck_item_t *items;
  size_t len = 7;
  /* Where a resource may be left out, 0 is none: `others_names` tries that. */
  if (!is_resource && id != 0) {
    potluck_resource_t got = {7};
    uint64_t version = 7;
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_peer_share_if(ada, "soup", "x", 1, (potluck_resource_t){id}, &version));
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_peer_request_newer(bob, "ada", "soup", (potluck_resource_t){id}, 0, &got));
    CHECK(version == 0 && got.id == 0);
  }
  if (!is_resource) {
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_resource_data((potluck_resource_t){id}, &data, &len));
    CHECK(data == NULL && len == 0);
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_resource_info((potluck_resource_t){id}, &resource_info));
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_resource_release((potluck_resource_t){id}));
  }
  if (!is_message) {
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_message_info((potluck_message_t){id}, &message_info));
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_message_reply((potluck_message_t){id}, NULL, 0));
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_message_release((potluck_message_t){id}));
  }
  if (!is_list) {
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_list_items((potluck_list_t){id}, &items, &len));
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_list_release((potluck_list_t){id}));
  }
}

static void expect_invalid_names(potluck_status_t wanted, potluck_system_t s, potluck_peer_t p, potluck_events_t e) {
  potluck_event_t event;
  potluck_message_t message;
  event.struct_size = sizeof event;
  EXPECT(wanted, potluck_system_peers(s, NULL));
  EXPECT(wanted, potluck_system_holders(s, "soup", NULL));
  EXPECT(wanted, potluck_system_mingle(s, "soup", 0, 0, NULL));
  EXPECT(wanted, potluck_system_events(s, 1, NULL));
  EXPECT(wanted, potluck_peer_spawn(s, "eve", NULL, NULL));
  EXPECT(wanted, potluck_events_next(e, 0, &event));
  EXPECT(wanted, potluck_peer_share(p, "soup", "x", 1, NULL));
  EXPECT(wanted, potluck_peer_share_if(p, "soup", "x", 1, (potluck_resource_t){0}, NULL));
  EXPECT(wanted, potluck_peer_unshare(p, "soup"));
  EXPECT(wanted, potluck_peer_get(p, "soup", NULL));
  EXPECT(wanted, potluck_peer_resources(p, NULL));
  EXPECT(wanted, potluck_peer_request(p, "ada", "soup", 0, NULL));
  EXPECT(wanted, potluck_peer_request_newer(p, "ada", "soup", (potluck_resource_t){0}, 0, NULL));
  EXPECT(wanted, potluck_peer_fetch(p, "soup", 0, NULL));
  EXPECT(wanted, potluck_peer_offer(p, "ada", "soup", 0));
  EXPECT(wanted, potluck_peer_exchange(p, "ada", "soup", 0, NULL));
  EXPECT(wanted, potluck_peer_tell(p, "ada", "k", NULL, 0, 0));
  EXPECT(wanted, potluck_peer_ask(p, "ada", "k", NULL, 0, 0, NULL));
  EXPECT(wanted, potluck_peer_receive(p, 0, &message));
}

static void handles(void) {
  static const uint64_t never[] = {0, 1, 42, UINT64_MAX, UINT64_C(1) << 60, UINT64_C(2) << 60, UINT64_C(15) << 60};
  potluck_resource_t soup;
  potluck_message_t message;
  potluck_list_t list;
  potluck_events_t events;
  size_t i;
  for (i = 0; i < sizeof never / sizeof *never; i++) {
    expect_invalid(never[i], 0, 0, 0);
    expect_invalid_names(POTLUCK_E_INVALID_HANDLE, (potluck_system_t){never[i]}, (potluck_peer_t){never[i]},
                         (potluck_events_t){never[i]});
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_peer_close((potluck_peer_t){never[i]}, 0));
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_events_close((potluck_events_t){never[i]}));
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_system_shutdown((potluck_system_t){never[i]}, 0, NULL));
  }
  OK(potluck_peer_get(ada, "soup", &soup));
  OK(potluck_peer_tell(ada, "bob", "k", NULL, 0, 0));
  OK(potluck_peer_receive(bob, 0, &message));
  OK(potluck_system_peers(kitchen, &list));
  OK(potluck_system_events(kitchen, 4, &events));
  /* Of another kind. */
  expect_invalid(soup.id, 1, 0, 0);
  expect_invalid(message.id, 0, 1, 0);
  expect_invalid(list.id, 0, 0, 1);
  expect_invalid(kitchen.id, 0, 0, 0);
  expect_invalid_names(POTLUCK_E_INVALID_HANDLE, (potluck_system_t){ada.id}, (potluck_peer_t){soup.id},
                       (potluck_events_t){kitchen.id});
  /* Released, once and twice. */
  OK(potluck_resource_release(soup));
  OK(potluck_message_release(message));
  OK(potluck_list_release(list));
  OK(potluck_events_close(events));
  expect_invalid(soup.id, 0, 0, 0);
  expect_invalid(message.id, 0, 0, 0);
  expect_invalid(list.id, 0, 0, 0);
  EXPECT_TEXT(POTLUCK_E_INVALID_HANDLE, "released", potluck_resource_release(soup));
  /* The slot is used again, the id is not. */
  {
    potluck_resource_t again;
    OK(potluck_peer_get(ada, "soup", &again));
    CHECK(again.id != soup.id);
    EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_resource_release(soup));
    OK(potluck_resource_release(again));
  }
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

int main(void) {
  potluck_events_t events;
  potluck_resource_t soup;
  int i;
  begin();
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  OK(potluck_system_events(kitchen, 4, &events));

  bad_names();
  null_pointers();
  struct_sizes();
  handles();
  others_names();
  EXPECT_TEXT(POTLUCK_E_NAME_TAKEN, "ada", potluck_peer_spawn(kitchen, "ada", NULL, NULL));
  EXPECT_TEXT(POTLUCK_E_NO_SUCH_PEER, "eve", potluck_peer_request(ada, "eve", "soup", 0, NULL));
  EXPECT_TEXT(POTLUCK_E_NO_SUCH_RESOURCE, "bread", potluck_peer_request(bob, "ada", "bread", 0, NULL));
  for (i = -3; i < 100; i++) CHECK(potluck_status_str(i) != NULL && potluck_status_str(i)[0] != 0);

  /* Nothing of this has lost anything. */
  OK(potluck_peer_request(bob, "ada", "soup", 0, &soup));
  CHECK(holds(soup, "tomato"));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  OK(potluck_events_close(events));
  expect_invalid_names(POTLUCK_E_CLOSED, kitchen, ada, events);
  OK(potluck_peer_close(ada, 0));
  CHECK(holds(soup, "tomato"));
  OK(potluck_resource_release(soup));
  return end("api_wrong_input");
}
