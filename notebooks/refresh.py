# Databricks notebook source
# Parameters, calls, display: refresh a project's segments with the notebook's own session.

# COMMAND ----------
import segengine

dbutils.widgets.text("folder", "/Workspace/segments")
dbutils.widgets.text("environment", "prod")

# COMMAND ----------
project = segengine.Project(
    dbutils.widgets.get("folder"),
    environment=dbutils.widgets.get("environment"),
    spark=spark,
)
report = project.refresh()

# COMMAND ----------
rows = [(run.name, str(run.status), run.member_count, run.error) for run in report.segments]
display(spark.createDataFrame(rows, "segment string, status string, members bigint, why string"))
