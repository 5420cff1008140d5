/* What users of an installed potluck write, as C and as C++: they include the header by its bare name. Prints `soup from cook`. */
#include <potluck.h>
#include <stdio.h>
#include <string.h>

static potluck_status_t answer(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  (void)peer;
  return potluck_message_reply(message, user_data, strlen((const char *)user_data));
}

int main(void) {
  static char text[] = "soup";
  potluck_peer_options_t options;
  potluck_resource_info_t info;
  potluck_system_t kitchen;
  potluck_peer_t cook, guest;
  potluck_resource_t reply;

  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.on_message = answer;
  options.user_data = text;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  if (potluck_check(POTLUCK_ABI, NULL) || potluck_system_open("kitchen", NULL, &kitchen) ||
      potluck_peer_spawn(kitchen, "cook", &options, &cook) || potluck_peer_spawn(kitchen, "guest", NULL, &guest) ||
      potluck_peer_ask(guest, "cook", "what is there", NULL, 0, 10000, &reply) || potluck_resource_info(reply, &info)) {
    fprintf(stderr, "%s\n", potluck_last_error());
    return 1;
  }
  printf("%.*s from %s\n", (int)info.data_len, (const char *)info.data, info.origin);
  potluck_resource_release(reply);
  return potluck_system_shutdown(kitchen, 10000, NULL);
}
