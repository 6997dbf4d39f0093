/* Replays corpus files or folders through a fuzz target, for compilers without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long replayed;

static void replay_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (f == NULL) return;
  size_t cap = 1 << 22;
  uint8_t *data = malloc(cap);
  size_t size = data != NULL ? fread(data, 1, cap, f) : 0;
  fclose(f);
  /* An exact-size copy, so that the sanitizer sees reads past the end. */
  uint8_t *exact = malloc(size > 0 ? size : 1);
  if (exact != NULL) {
    for (size_t i = 0; i < size; i++) exact[i] = data[i];
    LLVMFuzzerTestOneInput(exact, size);
    replayed++;
  }
  free(exact);
  free(data);
}

static void replay_path(const char *path) {
  struct stat st;
  if (stat(path, &st) != 0) return;
  if (!S_ISDIR(st.st_mode)) {
    replay_file(path);
    return;
  }
  DIR *dir = opendir(path);
  if (dir == NULL) return;
  for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
    char child[4096];
    if (e->d_name[0] == '.') continue;
    snprintf(child, sizeof child, "%s/%s", path, e->d_name);
    replay_path(child);
  }
  closedir(dir);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) replay_path(argv[i]);
  printf("replayed %ld inputs\n", replayed);
  return replayed > 0 ? 0 : 1;
}
