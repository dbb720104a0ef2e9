/* SPDX-License-Identifier: Apache-2.0
 * layout.h - how policy.snap, fleet.snap and lists/<hash> lie in memory.
 *
 * Why: these files are the contract between whoever compiles a policy and
 * everyone who decides by it.  They are position independent: every reference
 * is a byte offset from the start of the file, so that one mapping serves all
 * processes.  Little-endian only.  All records are multiples of 8 bytes and
 * lie at multiples of 8.  A change here changes GRAY_LAYOUT.
 * Read next: engine.h (who reads this), policy/compile.c (who writes it).
 */
#ifndef GRAY_ENGINE_LAYOUT_H
#define GRAY_ENGINE_LAYOUT_H

#include <stdint.h>

#define GRAY_LAYOUT 4u
#define GRAY_NONE UINT32_MAX

#define GRAY_MAGIC_POLICY "GRAYPOL"
#define GRAY_MAGIC_FLEET "GRAYFLT"
#define GRAY_MAGIC_LIST "GRAYLST"
#define GRAY_MAGIC_CONTROL "GRAYCTL"
#define GRAY_MAGIC_READER "GRAYRDR"
#define GRAY_MAGIC_KEYS "GRAYKEY"
#define GRAY_MAGIC_MARKS "GRAYMRK"
#define GRAY_MAGIC_DRAINED "GRAYDRN"

/* Limits (STYLE 11: each has a test at the limit and at limit + 1). */
#define GRAY_VALUE_MAX 1024u      /* bytes of an attribute looked at */
#define GRAY_VALUES_MAX 64u       /* interesting values of one request */
#define GRAY_ARMS_MAX 16u         /* arms that one request carries */
#define GRAY_RELEASES_MAX 4096u   /* releases of one policy */
#define GRAY_NAME_MAX 63u         /* bytes of a name of a document */
#define GRAY_PROGRAM_MAX 4096u    /* instructions of one program */
#define GRAY_DFA_STATES_MAX 4096u /* states of one automaton */
#define GRAY_SHARE_ALL 1000000u   /* the whole bucket line */
#define GRAY_UNIT_SLOTS 4u        /* places a unit may be looked for */
#define GRAY_VARIANTS_MAX 256u    /* arms of one release */
#define GRAY_SEGMENTS_MAX 64u     /* segments of a path looked at */
#define GRAY_STAGES_MAX 16u       /* stages of one release */
#define GRAY_ATTEMPT_MAX 255u     /* attempts of one release: as marks keep it */
#define GRAY_HASH_MURMUR3 1u      /* the only gray_release.hash_version */
#define GRAY_SKEW_MAX_MS 60000u   /* of gray_file_header.max_skew */

/* First in every file of the runtime folder. 64 bytes. */
struct gray_file_header {
    char magic[8]; /* GRAY_MAGIC_*, NUL-terminated */
    uint32_t layout;
    uint16_t header_size; /* sizeof(struct gray_file_header) */
    uint16_t max_skew;    /* ms that a reader may turn late; 0: any */
    uint64_t generation;  /* number on this host; 0 in a list */
    uint64_t revision;    /* number in the history */
    uint64_t length;      /* of the whole file */
    uint64_t checksum;    /* XXH3-64 of the file, this field as zero */
    int64_t effective_at; /* ms since the epoch; 0: at once */
    uint64_t fleet_generation; /* of a policy: published with it; 0: none */
};

/* Some bytes of the file: offset from its start and a length. */
struct gray_ref {
    uint32_t offset;
    uint32_t length;
};

/* A table: offset from the start of the file, number of records. */
struct gray_table {
    uint32_t offset;
    uint32_t count;
};

/* Some records of one table: the number of the first and how many. */
struct gray_span {
    uint32_t first;
    uint32_t count;
};

/* ---- lists/<hash> -------------------------------------------------------- */

/* Directly after the file header.  Two sorted arrays of 64-bit keys, each with
 * a directory by the key's highest bits: dir[i] is the number of keys whose
 * top `dir_bits` bits are below i; dir has (1 << dir_bits) + 1 entries.
 * numeric: gray_mix64(id), a bijection, so membership is exact; for ids that
 * are canonical decimal numbers below 2^64 (no sign, no leading zero).
 * text: SipHash-2-4 of the id under `key`.  strict: the strings themselves,
 * sorted like their hashes, so that a hit is compared. */
struct gray_list_half {
    uint64_t keys;  /* offset, uint64_t[count], ascending */
    uint64_t count;
    uint64_t dir;   /* offset, uint32_t[(1 << dir_bits) + 1] */
    uint32_t dir_bits;
    uint32_t pad;
};
struct gray_list_file {
    struct gray_list_half numeric, text;
    uint64_t key[2];  /* of SipHash */
    uint64_t strings; /* offset of uint64_t[text.count] offsets of strings
                         (uint32_t length, bytes); 0: not strict */
    uint64_t pad;
};

/* ---- fleet.snap ---------------------------------------------------------- */

struct gray_fleet_body {
    struct gray_table strings;
    struct gray_table services;  /* gray_fleet_service, sorted like names */
    struct gray_table endpoints; /* gray_endpoint */
    struct gray_table labels;    /* gray_selector: key, value */
};
struct gray_fleet_service {
    struct gray_ref name;
    uint32_t hash;               /* gray_hash_name(name) */
    uint32_t pad;
    struct gray_span endpoints;  /* endpoints[] */
};
enum gray_endpoint_state {
    GRAY_ENDPOINT_STARTING, GRAY_ENDPOINT_WARMING, GRAY_ENDPOINT_READY,
    GRAY_ENDPOINT_DRAINING, GRAY_ENDPOINT_EJECTED
};
enum gray_family { GRAY_FAMILY_UNIX = 1, GRAY_FAMILY_IPV4 = 4,
                   GRAY_FAMILY_IPV6 = 6 };
struct gray_endpoint {
    struct gray_ref text;     /* as written: "127.0.0.1:9001", "unix:/x" */
    uint8_t address[16];      /* network order; IPv4 in the first 4 bytes */
    uint16_t port;            /* host order */
    uint8_t family;           /* enum gray_family */
    uint8_t state;            /* enum gray_endpoint_state */
    uint32_t weight;          /* 1 .. 1,000,000; 0 takes none */
    int64_t ready_since;      /* ms since the epoch: start of the warm-up */
    struct gray_span labels;  /* labels[] */
};

/* ---- scope words, in `control` ------------------------------------------- */

enum gray_word { GRAY_WORD_OPEN, GRAY_WORD_NO_ADMIT, GRAY_WORD_BASELINE,
                 GRAY_WORD_KILLED };
#define GRAY_WORD_MASK 3u
#define GRAY_WORD_HOST 4u /* set on this host, wins until a person says so */
struct gray_scope_word {
    uint64_t scope; /* gray_release.scope; 0: free */
    uint32_t word;  /* enum gray_word | GRAY_WORD_HOST; atomic */
    uint32_t epoch; /* raised with every change; atomic */
    uint32_t table; /* number of its mark table; 0: none here; atomic */
    uint32_t next;  /* of the table that it grows into; 0: none; atomic */
    uint64_t reserved;
};

enum gray_class { GRAY_CLASS_LIVE, GRAY_CLASS_SHADOW, GRAY_CLASS_LOAD,
                  GRAY_CLASS_REHEARSAL, GRAY_CLASS_COUNT };

#include "engine/layout_policy.h"

#endif
