-- SPDX-License-Identifier: Apache-2.0
-- The table that scripts/auth/postgres.lua reads. An ACL is a JSON array such
-- as [{"pattern": "sensors/%c/#", "max_qos": 1}].
CREATE EXTENSION IF NOT EXISTS pgcrypto;

CREATE TABLE vmq_auth_acl (
    mountpoint    varchar(10)  NOT NULL,
    client_id     varchar(128) NOT NULL, -- '*': every client of the user
    username      varchar(128) NOT NULL,
    password      varchar(128),          -- crypt('secret', gen_salt('bf'))
    publish_acl   json,
    subscribe_acl json,
    PRIMARY KEY (mountpoint, client_id, username)
);
