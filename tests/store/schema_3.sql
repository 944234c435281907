-- A database as schema 3 left it. Never edited: migrations must lead from here to the newest schema.
PRAGMA application_id = 1380863568;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'rnnprop','m001_initial','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'rnnprop','m002_checkpoint_folders','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'rnnprop','m003_nodes','2026-01-01 00:00:00+00:00');
CREATE TABLE "checkpoint" (
   "id" INTEGER PRIMARY KEY,
   "run_id" INTEGER NOT NULL REFERENCES "run"("id"),
   "meta_step" INTEGER NOT NULL,
   "path" TEXT NOT NULL,
   "sha256" TEXT NOT NULL,
   "moving_average" REAL,
   "validation_loss" REAL,
   "created_utc" TEXT NOT NULL
);
INSERT INTO "checkpoint" VALUES(1,3,5,'checkpoints/x.safetensors','0000000000000000000000000000000000000000000000000000000000000000',0.5,NULL,'2026-01-01T00:00:00Z');
CREATE TABLE "chunk" (
   "id" INTEGER PRIMARY KEY,
   "run_id" INTEGER NOT NULL REFERENCES "run"("id"),
   "metric_id" INTEGER NOT NULL REFERENCES "metric"("id"),
   "step0" INTEGER NOT NULL,
   "stride" INTEGER NOT NULL,
   "n" INTEGER NOT NULL,
   "dtype" TEXT NOT NULL,
   "vmin" REAL,
   "vmax" REAL,
   "nonfinite" INTEGER NOT NULL,
   "data" BLOB NOT NULL
);
INSERT INTO "chunk" VALUES(1,1,1,0,1,3,'f4',0.25,1.0,0,X'0000803F0000003F0000803E');
INSERT INTO "chunk" VALUES(2,2,1,0,1,2,'f4',1.0,1.0,1,X'0000803F0000C07F');
CREATE TABLE "event" (
   "id" INTEGER PRIMARY KEY,
   "experiment_id" INTEGER NOT NULL REFERENCES "experiment"("id"),
   "time_utc" TEXT NOT NULL,
   "kind" TEXT NOT NULL,
   "text" TEXT NOT NULL
);
INSERT INTO "event" VALUES(1,1,'2026-01-01T00:00:00Z','note','hello');
CREATE TABLE "experiment" (
   "id" INTEGER PRIMARY KEY,
   "kind" TEXT NOT NULL,
   "name" TEXT NOT NULL,
   "spec_toml" TEXT NOT NULL,
   "spec_json" TEXT NOT NULL,
   "spec_sha256" TEXT NOT NULL,
   "created_utc" TEXT NOT NULL,
   "last_used" INTEGER NOT NULL,
   "git_sha" TEXT,
   "versions" TEXT,
   "argv" TEXT,
   "host" TEXT
, "folder" TEXT);
INSERT INTO "experiment" VALUES(1,'bench','quickstart','name = "quickstart"
','{"name":"quickstart"}','5555555555555555555555555555555555555555555555555555555555555555','2026-01-01T00:00:00Z',1,'0123abcd','{"python":"3.11"}','["rnnprop","bench"]','somewhere',NULL);
CREATE TABLE "metric" (
   "id" INTEGER PRIMARY KEY,
   "name" TEXT NOT NULL
);
INSERT INTO "metric" VALUES(1,'loss');
CREATE TABLE "run" (
   "id" INTEGER PRIMARY KEY,
   "experiment_id" INTEGER NOT NULL REFERENCES "experiment"("id"),
   "key" TEXT NOT NULL,
   "phase" TEXT NOT NULL,
   "status" TEXT NOT NULL,
   "optimizer" TEXT NOT NULL,
   "is_baseline" INTEGER NOT NULL,
   "optimizee" TEXT NOT NULL,
   "dataset" TEXT,
   "depth" INTEGER,
   "activation" TEXT,
   "horizon" INTEGER NOT NULL,
   "lr" REAL,
   "lr_source" TEXT NOT NULL,
   "seed" INTEGER NOT NULL,
   "config_json" TEXT NOT NULL,
   "device" TEXT NOT NULL,
   "dtype" TEXT NOT NULL,
   "threads" INTEGER NOT NULL,
   "started_utc" TEXT,
   "elapsed_s" REAL,
   "peak_bytes" INTEGER,
   "final_loss" REAL,
   "heldout_loss" REAL,
   "heldout_accuracy" REAL,
   "first_bad_step" INTEGER,
   "error" TEXT
, "node" TEXT);
INSERT INTO "run" VALUES(1,1,'0000000000000000000000000000000000000000000000000000000000000000','final','done','adam',1,'mlp sigmoid','digits',1,'sigmoid',100,0.03125,'tuned',0,'{}','cpu','float32',1,'2026-01-01T00:00:00Z',1.5,1000,0.25,0.5,0.75,NULL,NULL,NULL);
INSERT INTO "run" VALUES(2,1,'0000000000000000000000000000000000000000000000000000000000000001','final','diverged','adam',1,'mlp sigmoid','digits',1,'sigmoid',100,0.03125,'tuned',1,'{}','cpu','float32',1,'2026-01-01T00:00:00Z',1.5,1000,NULL,NULL,NULL,2,NULL,NULL);
INSERT INTO "run" VALUES(3,1,'0000000000000000000000000000000000000000000000000000000000000002','final','queued','adam',1,'mlp sigmoid','digits',1,'sigmoid',100,0.03125,'tuned',2,'{}','cpu','float32',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX "idx_experiment_kind_name"
    ON "experiment" ("kind", "name");
CREATE UNIQUE INDEX "idx_run_experiment_id_key"
    ON "run" ("experiment_id", "key");
CREATE INDEX "idx_run_status"
    ON "run" ("status");
CREATE UNIQUE INDEX "idx_metric_name"
    ON "metric" ("name");
CREATE UNIQUE INDEX "idx_chunk_run_id_metric_id_step0"
    ON "chunk" ("run_id", "metric_id", "step0");
CREATE UNIQUE INDEX "idx_checkpoint_run_id_meta_step_path"
    ON "checkpoint" ("run_id", "meta_step", "path");
CREATE INDEX "idx_event_experiment_id"
    ON "event" ("experiment_id");
COMMIT;
