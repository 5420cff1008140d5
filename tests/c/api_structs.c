/* The structs of callers that were compiled with an older or a newer header, which know less or more of them. */
#include "harness.h"

static potluck_system_t kitchen;
static potluck_peer_t ada;

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

int main(void) {
  begin();
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  struct_sizes();
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  return end("api_structs");
}
