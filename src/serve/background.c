/* nice 19 and SCHED_BATCH, not SCHED_IDLE: an idle task gets a third of a percent of a processor
 * that is busy all the time, and a training of seconds did not end within a minute beside a load of
 * two cores; a nice one gets 1.5%, and is preempted by whatever wakes up just the same (sched(7)).
 * RLIMIT_DATA and not RLIMIT_AS: the latter counts mapped snapshots, which cost no memory of our
 * own. */
#include "serve/background.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
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
  end_with_parent();
  if (getpriority(PRIO_PROCESS, 0) < nice_value) (void)setpriority(PRIO_PROCESS, 0, nice_value);
  (void)sched_setscheduler(0, SCHED_BATCH, &none);
  (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_BEST_EFFORT);
  be_killed_first();
}

wn_status wn_background_limit(uint64_t megabytes, wn_error *err) {
  if (megabytes > (uint64_t)1 << 40)
    return wn_fail(err, WN_E_ARGUMENT, "memory-mb", "is more than any machine has");
  rlim_t bytes = (rlim_t)megabytes << 20;
  const struct rlimit limit = {bytes, bytes};
  if (setrlimit(RLIMIT_DATA, &limit) == 0) return WN_OK;
  return wn_fail_errno(err, "memory-mb", "cannot limit the memory");
}
