/* SCHED_IDLE first: beside it requests wait least (docs/operations.md has the figures), and what
 * nobody else uses it gets like any other task. Of a processor that is busy all the time it gets a
 * third of a percent, though, so that a training of seconds would take many minutes; nice 19 gets
 * 1.5%. Hence wn_background_raise, for whoever watches. Leaving SCHED_IDLE takes a privilege: an
 * RLIMIT_NICE of 1 or CAP_SYS_NICE (sched(7)).
 * RLIMIT_DATA and not RLIMIT_AS: the latter counts mapped snapshots, which cost no memory of our
 * own. */
#include "serve/background.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_BEST_EFFORT ((2 << 13) | 7) /* class 2, the lowest of its eight levels */

static void end_with_parent(void) {
  const char *text = getenv(WN_BACKGROUND_PARENT);
  if (text == NULL) return;
  long parent = strtol(text, NULL, 10);
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != (pid_t)parent) _exit(1); /* it ended before the line above */
}

static void be_killed_first(void) {
  static const char score[] = "800\n";
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t written = write(fd, score, sizeof score - 1);
  (void)written;
  close(fd);
}

void wn_background_enter(int nice_value) {
  const struct sched_param none = {0};
  bool idle = nice_value >= WN_BACKGROUND_IDLE;
  int lowest = idle ? WN_BACKGROUND_IDLE - 1 : nice_value;
  end_with_parent();
  if (getpriority(PRIO_PROCESS, 0) < lowest) (void)setpriority(PRIO_PROCESS, 0, lowest);
  (void)sched_setscheduler(0, idle ? SCHED_IDLE : SCHED_BATCH, &none);
  (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_BEST_EFFORT);
  be_killed_first();
}

/* Threads of `pid` that left SCHED_IDLE; −1: one was not allowed to. */
static int raise_threads(pid_t pid) {
  const struct sched_param none = {0};
  const struct dirent *entry;
  char path[64];
  snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
  DIR *tasks = opendir(path);
  int raised = tasks != NULL ? 0 : -1;
  while (tasks != NULL && raised >= 0 && (entry = readdir(tasks)) != NULL) {
    pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
    if (thread <= 0 || sched_getscheduler(thread) != SCHED_IDLE) continue;
    bool left = sched_setscheduler(thread, SCHED_BATCH, &none) == 0;
    raised = left || errno == ESRCH ? raised + left : -1;
  }
  if (tasks != NULL) closedir(tasks);
  return raised;
}

int wn_background_raise(pid_t pid) {
  int raised = raise_threads(pid), more = raised;
  while (more > 0) more = raise_threads(pid); /* those that an idle thread began meanwhile */
  return more < 0 ? -1 : raised;
}

wn_status wn_background_limit(uint64_t megabytes, wn_error *err) {
  if (megabytes > (uint64_t)1 << 40)
    return wn_fail(err, WN_E_ARGUMENT, "memory-mb", "is more than any machine has");
  rlim_t bytes = (rlim_t)megabytes << 20;
  const struct rlimit limit = {bytes, bytes};
  if (setrlimit(RLIMIT_DATA, &limit) == 0) return WN_OK;
  return wn_fail_errno(err, "memory-mb", "cannot limit the memory");
}
