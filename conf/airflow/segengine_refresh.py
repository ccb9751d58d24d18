"""An Airflow DAG that refreshes what is due, asking every ten minutes.

Copy it into the folder of the DAGs (Airflow 3, with the standard provider that comes with it) and say in `params` where
the project is; `segengine` has to be on the workers' PATH. segengine itself works out what is due, so nothing is missed
where Airflow was down, and nothing has to be caught up. A task that is stopped gets SIGTERM, which cancels the run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

LEASE_IS_HELD = 5  # another run is under way: skipped, not failed

with DAG(
    dag_id="segengine_refresh",
    description="Refresh what is due",
    schedule="*/10 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={"conf": "/srv/segments", "environment": "prod"},
    tags=["segengine"],
):
    BashOperator(
        task_id="refresh_what_is_due",
        bash_command="segengine refresh --due",
        env={"SEGENGINE_CONF": "{{ params.conf }}", "SEGENGINE_ENV": "{{ params.environment }}"},
        append_env=True,
        skip_on_exit_code=LEASE_IS_HELD,
        retries=1,  # what failed is still due
        retry_delay=timedelta(minutes=5),
    )
