-- Ids, hashes and amounts are TEXT in their one form, times BIGINT in milliseconds
-- since 1970, bytes BLOB.

-- +goose Up
CREATE TABLE deployment (
    id        BIGINT PRIMARY KEY CHECK (id = 1),
    charter   TEXT   NOT NULL,
    head      BLOB,                       -- the newest cosigned note
    head_size BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE entries (
    idx  BIGINT PRIMARY KEY CHECK (idx >= 0),
    time BIGINT NOT NULL,
    type TEXT   NOT NULL,
    leaf TEXT   NOT NULL UNIQUE,
    raw  BLOB   NOT NULL
);

-- The tree's hashes, where tlog.StoredHashIndex puts them.
CREATE TABLE hashes (
    idx  BIGINT PRIMARY KEY CHECK (idx >= 0),
    hash BLOB   NOT NULL CHECK (length(hash) = 32)
);

CREATE TABLE lists (
    hash TEXT PRIMARY KEY,
    raw  BLOB NOT NULL
);

CREATE TABLE intents (
    id          TEXT   PRIMARY KEY,
    idx         BIGINT NOT NULL UNIQUE REFERENCES entries (idx),
    type        TEXT   NOT NULL,
    institution TEXT   NOT NULL,
    domain      TEXT   NOT NULL,
    initiator   TEXT   NOT NULL,
    wallet      TEXT,
    repairs     TEXT,                     -- the intent that a SPEED_UP or CANCEL names
    created     BIGINT NOT NULL,
    expires     BIGINT NOT NULL,
    external_id TEXT   CHECK (external_id <> ''),
    bytes       TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    updated     BIGINT NOT NULL
);
CREATE UNIQUE INDEX intents_external ON intents (institution, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX intents_type ON intents (type, idx);
CREATE INDEX intents_state ON intents (state, idx);
CREATE INDEX intents_initiator ON intents (initiator, idx);
CREATE INDEX intents_wallet ON intents (wallet, idx) WHERE wallet IS NOT NULL;
CREATE INDEX intents_repairs ON intents (repairs) WHERE repairs IS NOT NULL;

CREATE TABLE intent_entries (
    intent TEXT   NOT NULL REFERENCES intents (id),
    idx    BIGINT NOT NULL REFERENCES entries (idx),
    PRIMARY KEY (intent, idx)
);

-- A row is due at look_at; while it is leased, when the lease ends. What sets
-- look_at during a lease outlasts it.
CREATE TABLE work (
    intent      TEXT   PRIMARY KEY REFERENCES intents (id),
    look_at     BIGINT,
    lease_until BIGINT,
    fence       BIGINT NOT NULL DEFAULT 0,
    attempts    BIGINT NOT NULL DEFAULT 0,
    note        TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX work_due ON work ((COALESCE(lease_until, look_at)));

CREATE TABLE blocks (
    network TEXT   NOT NULL,
    height  BIGINT NOT NULL CHECK (height >= 0),
    hash    TEXT   NOT NULL,
    PRIMARY KEY (network, height)
);

CREATE TABLE transactions (
    prepared  TEXT   PRIMARY KEY REFERENCES entries (leaf),
    idx       BIGINT NOT NULL,
    intent    TEXT   NOT NULL REFERENCES intents (id),
    network   TEXT   NOT NULL,
    details   BLOB   NOT NULL,
    fee       TEXT   NOT NULL,
    state     TEXT   NOT NULL,
    signed    BLOB,
    txid      TEXT,
    broadcast BIGINT,
    height    BIGINT,
    FOREIGN KEY (network, height) REFERENCES blocks (network, height)
);
CREATE INDEX transactions_intent ON transactions (intent, idx);
CREATE INDEX transactions_txid ON transactions (network, txid) WHERE txid IS NOT NULL;
CREATE INDEX transactions_height ON transactions (network, height) WHERE height IS NOT NULL;
CREATE INDEX transactions_open ON transactions (network, idx) WHERE state NOT IN ('FINALIZED', 'FAILED');

CREATE TABLE addresses (
    wallet  TEXT   NOT NULL,
    branch  BIGINT NOT NULL,
    idx     BIGINT NOT NULL,
    network TEXT   NOT NULL,
    address TEXT   NOT NULL,
    script  BLOB   NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (wallet, branch, idx),
    UNIQUE (network, script)
);

-- What a block did stands apart from what was seen before, so that taking the
-- block back leaves exactly the latter.
CREATE TABLE coins (
    network      TEXT   NOT NULL,
    outpoint     TEXT   NOT NULL,
    txid         TEXT   NOT NULL,
    wallet       TEXT   NOT NULL,
    branch       BIGINT NOT NULL,
    idx          BIGINT NOT NULL,
    amount       TEXT   NOT NULL,
    coinbase     BIGINT NOT NULL CHECK (coinbase IN (0, 1)),
    seen         BIGINT NOT NULL CHECK (seen IN (0, 1)), -- before any block had it
    height       BIGINT,
    deposit      TEXT,                                   -- state of a deposit, on branch 0
    pending      TEXT,                                   -- the transaction in no block that spends it
    spender      TEXT,                                   -- the transaction in a block that spends it
    spent_height BIGINT,
    PRIMARY KEY (network, outpoint),
    CHECK (height IS NOT NULL OR seen = 1),
    CHECK ((spender IS NULL) = (spent_height IS NULL)),
    FOREIGN KEY (network, height) REFERENCES blocks (network, height),
    FOREIGN KEY (network, spent_height) REFERENCES blocks (network, height)
);
CREATE INDEX coins_unspent ON coins (wallet, outpoint) WHERE spender IS NULL AND pending IS NULL;
CREATE INDEX coins_deposit ON coins (wallet, height) WHERE deposit IS NOT NULL;
CREATE INDEX coins_confirming ON coins (network, deposit, height) WHERE deposit = 'CONFIRMING';
CREATE INDEX coins_height ON coins (network, height) WHERE height IS NOT NULL;
CREATE INDEX coins_spent_height ON coins (network, spent_height) WHERE spent_height IS NOT NULL;

CREATE TABLE chain_codes (
    key  TEXT PRIMARY KEY,
    code TEXT NOT NULL
);

CREATE TABLE requests (
    principal TEXT   NOT NULL,
    key       TEXT   NOT NULL,
    hash      TEXT   NOT NULL,
    created   BIGINT NOT NULL,
    status    BIGINT,                     -- none while the call runs
    body      BLOB,
    PRIMARY KEY (principal, key)
);
CREATE INDEX requests_created ON requests (created);
