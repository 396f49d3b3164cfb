-- SPDX-License-Identifier: Apache-2.0
-- The table that scripts/auth/cockroachdb.lua reads; ACLs as in postgres.sql.
CREATE TABLE vmq_auth_acl (
    mountpoint    varchar(10)  NOT NULL,
    client_id     varchar(128) NOT NULL, -- '*': every client of the user
    username      varchar(128) NOT NULL,
    password      varchar(128),          -- sha256('secret'), or a bcrypt hash
    publish_acl   json,
    subscribe_acl json,
    PRIMARY KEY (mountpoint, client_id, username)
);
