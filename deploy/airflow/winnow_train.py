"""An Airflow DAG around the command line, for who wants training under a scheduler of their own:
set `training: {every_hours: 0}` in winnow.yaml, run this on the server's machine. The gate decides
what is served; a challenger that is worse fails no task, it shows in `verdict`."""

import json
import subprocess
from datetime import datetime, timedelta

from airflow.decorators import dag, task

DATA = "/var/lib/winnow"


def winnow(*args):
    done = subprocess.run(["winnow", *args, "--data", DATA, "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-2000:])
    return json.loads(done.stdout)


@dag(schedule="0 3 * * *", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1,
     default_args={"retries": 2, "retry_delay": timedelta(minutes=10), "retry_exponential_backoff": True})
def winnow_train():
    @task
    def train():
        return winnow("train", "--background", "19", "--memory-mb", "8192")

    @task
    def verdict(report):
        gate = report["gate"]
        print(gate["verdict"], gate["reason"])
        return gate["promoted"]

    verdict(train())


winnow_train()
