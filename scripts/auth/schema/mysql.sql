-- SPDX-License-Identifier: Apache-2.0
-- The table that scripts/auth/mysql.lua and mysql2.lua read; ACLs are JSON
-- text as in postgres.sql.
CREATE TABLE vmq_auth_acl (
    mountpoint    VARCHAR(10)  NOT NULL,
    client_id     VARCHAR(128) NOT NULL, -- '*': every client of the user
    username      VARCHAR(128) NOT NULL,
    password      VARCHAR(128),          -- SHA2('secret', 256) and the like
    publish_acl   TEXT,
    subscribe_acl TEXT,
    PRIMARY KEY (mountpoint, client_id, username)
);
