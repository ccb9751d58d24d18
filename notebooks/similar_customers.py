# Databricks notebook source
# Customers similar to those of a segment: refresh an expansion, and judge whether its model can be trusted.

# COMMAND ----------
import segengine

dbutils.widgets.text("folder", "/Workspace/segments")
dbutils.widgets.text("environment", "prod")
dbutils.widgets.text("expansion", "SummerPromoExpansion")

# COMMAND ----------
project = segengine.Project(
    dbutils.widgets.get("folder"),
    environment=dbutils.widgets.get("environment"),
    spark=spark,
)
expansion = dbutils.widgets.get("expansion")
report = project.refresh([expansion], with_parents=True)

# COMMAND ----------
model = project.similarity(expansion).report
print(*model["warnings"], sep="\n")
print(f"members are told from others with an AUC of {model['quality']['auc']:.2f}")

# COMMAND ----------
# What each field is worth to the model, and why others are not used.
fields = [(each["name"], each["used"], each["reason"]) for each in model["fields"]]
display(spark.createDataFrame(fields, "field string, used boolean, why string"))

# COMMAND ----------
bands = [(each["band"], each["least"], each["candidates"]) for each in model["candidate_bands"]]
display(spark.createDataFrame(bands, "band string, score_from double, candidates bigint"))
