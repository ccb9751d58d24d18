# Databricks notebook source
# Groups worth a segment: refresh a suggestion, read its cards, save the best as an ordinary segment.

# COMMAND ----------
import segengine

dbutils.widgets.text("folder", "/Workspace/segments")
dbutils.widgets.text("environment", "prod")
dbutils.widgets.text("suggestion", "What drives lifetime spend")
dbutils.widgets.text("save_as", "Suggested by lifetime spend")

# COMMAND ----------
project = segengine.Project(
    dbutils.widgets.get("folder"),
    environment=dbutils.widgets.get("environment"),
    spark=spark,
)
suggestion = dbutils.widgets.get("suggestion")
report = project.refresh([suggestion], with_parents=True)

# COMMAND ----------
proposals = project.suggestions(suggestion).findings.proposals
cards = [(number, each.card, each.member_count) for number, each in enumerate(proposals, start=1)]
display(spark.createDataFrame(cards, "number int, suggestion string, members bigint"))

# COMMAND ----------
# Its members from now on are those promised: an ordinary dynamic segment.
if proposals:
    saved = project.save_suggestion(suggestion, 1, name=dbutils.widgets.get("save_as"))
    print(f"{saved.preview.member_count:,} members")
