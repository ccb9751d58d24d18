# Databricks notebook source
# What sets the members of a segment apart from others, and which profiles segments share.

# COMMAND ----------
import segengine

dbutils.widgets.text("folder", "/Workspace/segments")
dbutils.widgets.text("environment", "prod")
dbutils.widgets.text("differentiators", "High Value Online vs Customers from California")
dbutils.widgets.text("overlap", "High Value Online and Customers from California")

# COMMAND ----------
project = segengine.Project(
    dbutils.widgets.get("folder"),
    environment=dbutils.widgets.get("environment"),
    spark=spark,
)
names = [dbutils.widgets.get("differentiators"), dbutils.widgets.get("overlap")]
report = project.refresh(names, with_parents=True)

# COMMAND ----------
found = project.insight(names[0]).insight
scores = [(each.field, each.score, each.low, each.high, each.direction, each.note) for each in found.differences]
columns = "field string, score double, low double, high double, direction string, note string"
display(spark.createDataFrame(scores, columns))

# COMMAND ----------
found = project.insight(names[1]).insight
parts = [(" + ".join(each.segments), each.count, each.share) for each in found.combinations]
display(spark.createDataFrame(parts, "only_in string, profiles bigint, share_of_all double"))
