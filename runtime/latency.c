/* SPDX-License-Identifier: Apache-2.0
 * latency.c - the bucket of a latency, without a logarithm, and quantiles.
 *
 * Why: 256 buckets that each grow by 5.55 % tell p99 within 3 % from 0.1 ms to
 * 95 s, but two logarithms a request would cost more than the decision.  So
 * the first microsecond of every bucket, ceil(100 * 1.0555^i), stands in a
 * table (made with exact fractions; the test makes it again) and is found by
 * eight comparisons.  Quantiles are computed here alone, so that `gray status`
 * and the gateway's status location say the same.
 * Read next: counters.c.
 */
#include "runtime/internal.h"

const uint32_t runtime_latency_floor[GRAY_LATENCY_BUCKETS + 1] = {
    100,      106,      112,      118,      125,       132,      139,
    146,      155,      163,      172,      182,       192,      202,
    214,      225,      238,      251,      265,       280,      295,
    311,      329,      347,      366,      386,       408,      430,
    454,      479,      506,      534,      564,       595,      628,
    663,      700,      738,      779,      822,       868,      916,
    967,      1021,     1077,     1137,     1200,      1267,     1337,
    1411,     1490,     1572,     1659,     1752,      1849,     1951,
    2060,     2174,     2294,     2422,     2556,      2698,     2848,
    3006,     3172,     3348,     3534,     3730,      3937,     4156,
    4387,     4630,     4887,     5158,     5444,      5747,     6065,
    6402,     6757,     7132,     7528,     7946,      8387,     8852,
    9344,     9862,     10409,    10987,    11597,     12241,    12920,
    13637,    14394,    15193,    16036,    16926,     17865,    18856,
    19903,    21008,    22173,    23404,    24703,     26074,    27521,
    29048,    30661,    32362,    34158,    36054,     38055,    40167,
    42396,    44749,    47233,    49854,    52621,     55542,    58624,
    61878,    65312,    68937,    72763,    76801,     81063,    85562,
    90311,    95323,    100614,   106198,   112092,    118313,   124879,
    131810,   139125,   146846,   154996,   163599,    172678,   182262,
    192378,   203054,   214324,   226219,   238774,    252026,   266013,
    280777,   296360,   312808,   330169,   348493,    367835,   388250,
    409797,   432541,   456547,   481885,   508630,    536859,   566655,
    598104,   631299,   666336,   703317,   742351,    783552,   827039,
    872940,   921388,   972525,   1026500,  1083470,   1143603,  1207073,
    1274066,  1344776,  1419411,  1498188,  1581338,   1669102,  1761737,
    1859514,  1962717,  2071647,  2186624,  2307981,   2436074,  2571276,
    2713982,  2864608,  3023594,  3191403,  3368526,   3555479,  3752808,
    3961089,  4180930,  4412971,  4657891,  4916404,   5189265,  5477269,
    5781257,  6102117,  6440784,  6798248,  7175550,   7573793,  7994139,
    8437814,  8906112,  9400402,  9922124,  10472802,  11054042, 11667541,
    12315090, 12998577, 13719998, 14481458, 15285179,  16133507, 17028916,
    17974021, 18971579, 20024502, 21135862, 22308902,  23547046, 24853907,
    26233299, 27689247, 29226000, 30848043, 32560109,  34367195, 36274575,
    38287813, 40412787, 42655697, 45023088, 47521869,  50159333, 52943176,
    55881522, 58982947, 62256500, 65711736, 69358737,  73208147, 77271199,
    81559751, 86086317, 90864107, 95907065, 101229907,
};

uint32_t gray_latency_bucket(uint64_t microseconds)
{
    uint32_t bucket = 0, step;

    for (step = GRAY_LATENCY_BUCKETS / 2; step > 0; step /= 2) {
        if (microseconds >= runtime_latency_floor[bucket + step]) {
            bucket += step;
        }
    }
    return bucket;
}

static uint32_t bucket_of(const uint32_t *buckets, const uint32_t *before,
                          uint32_t number)
{
    return buckets[number] - (before != NULL ? before[number] : 0);
}

uint64_t gray_latency_quantile_us(
    const uint32_t buckets[GRAY_LATENCY_BUCKETS],
    const uint32_t before[GRAY_LATENCY_BUCKETS], uint32_t percent)
{
    uint64_t total = 0, seen = 0, rank;
    uint32_t i;

    for (i = 0; i < GRAY_LATENCY_BUCKETS; i++) {
        total += bucket_of(buckets, before, i);
    }
    rank = total / 100 * percent + total % 100 * percent / 100;
    for (i = 0; i < GRAY_LATENCY_BUCKETS; i++) {
        uint32_t here = bucket_of(buckets, before, i);

        if (seen + here > rank) {
            uint64_t from = i == 0 ? 0 : runtime_latency_floor[i];
            uint64_t width = runtime_latency_floor[i + 1] - from;

            return from + width * (rank - seen) / here;
        }
        seen += here;
    }
    return 0;
}
