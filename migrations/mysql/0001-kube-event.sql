-- The table of kube-eventer, with room for whole messages and any character, and with the identity of
-- each record, so that one that is delivered again is stored once.
CREATE TABLE IF NOT EXISTS {table} (
  id BIGINT NOT NULL AUTO_INCREMENT,
  namespace VARCHAR(255) NOT NULL DEFAULT '',
  kind VARCHAR(255) NOT NULL DEFAULT '',
  name VARCHAR(255) NOT NULL DEFAULT '',
  type VARCHAR(255) NOT NULL DEFAULT '',
  reason VARCHAR(255) NOT NULL DEFAULT '',
  message TEXT NOT NULL,
  event_id VARCHAR(255) NOT NULL DEFAULT '',
  first_occurrence_time VARCHAR(255) NOT NULL DEFAULT '',
  last_occurrence_time VARCHAR(255) NOT NULL DEFAULT '',
  update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  record_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_record (record_id)
) DEFAULT CHARSET = utf8mb4
