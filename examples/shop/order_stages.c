/* SPDX-License-Identifier: Apache-2.0
 * order_stages.c - create, pay and refund an order, by one logic for life.
 *
 * Why: the new logic writes columns that the old one cannot read, so an order
 * that both have written is lost money.  The order's row therefore carries its
 * mark, put there by the transaction that makes the row, under the row's
 * unique key; each later stage reads the row and hands the mark back:
 *
 *   no row        ABSENT    create: libgray decides, row and mark are written
 *   row           its mark  the logic that the mark says, whatever the share
 *   not readable  UNKNOWN   libgray holds: 503, and nobody writes anything
 *
 * A mark is never written a second time.  Asking again is safe: what was done
 * is answered as it stands.
 * Read next: order_gray.c, db.c (the tables).
 */
#include "order.h"

#include "db.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STALL_US 300000
#define TRIES 3
enum { STATE_CREATED, STATE_PAID, STATE_REFUNDED, STATE_COUNT };
static const char *const states[STATE_COUNT] = {"created", "paid", "refunded"};
static const char *const stages[] = {"create", "pay", "refund", "look"};

/* A row of `orders`, as far as the stages look at it. */
struct order {
    int state;
    bool is_new; /* written by the new logic */
    char user[ORDER_ID_MAX + 1];
    int64_t amount;
    uint8_t mark[ORDER_MARK_SIZE];
};
static enum order_bug bug;

void order_setup(enum order_bug the_bug)
{
    bug = the_bug;
}

/* ---- answers ----------------------------------------------------------------
 */

__attribute__((format(printf, 3, 4))) static void
say(struct order_answer *answer, unsigned status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(answer->body, sizeof(answer->body), format, list);
    va_end(list);
    answer->status = status;
    answer->again = status == 503;
}

static void say_order(struct order_answer *answer, unsigned status,
                      const struct order_request *request,
                      const struct order *order, bool in, const char *reason)
{
    char mark[2 * ORDER_MARK_SIZE + 1];
    for (unsigned i = 0; i < ORDER_MARK_SIZE; i++) {
        snprintf(mark + (size_t)2 * i, 3, "%02x", order->mark[i]);
    }
    say(answer, status,
        "{\"order_id\":\"%s\",\"user\":\"%s\",\"amount\":%lld,"
        "\"state\":\"%s\",\"logic\":\"%s\",\"mark\":\"%s\","
        "\"reason\":\"%s\"}\n",
        request->id, order->user, (long long)order->amount,
        states[order->state], in ? "new" : "old", mark, reason);
}

static void say_later(struct order_answer *answer, const char *why,
                      const char *reason)
{
    say(answer, 503, "{\"error\":\"%s\",\"reason\":\"%s\"}\n", why, reason);
}

/* ---- rows
 * -------------------------------------------------------------------- */

/* The row, locked until the transaction ends; *ret_there false: none. */
static enum db_answer find(struct db *db, const char *id, struct order *order,
                           bool *ret_there)
{
    char sql[200];
    struct db_row row;
    struct db_value key = db_bytes(DB_TEXT, id, strlen(id));
    snprintf(sql, sizeof(sql),
             "SELECT user_id, amount, state, mark, net_amount FROM orders"
             " WHERE order_id = $1%s",
             db->kind->for_update);
    enum db_answer answer = db_run(db, sql, &key, 1, &row);
    if (answer != DB_OK) {
        return answer;
    }
    *ret_there = row.there;
    if (!row.there) {
        return DB_OK;
    }
    order->state = STATE_CREATED;
    for (int i = 0; i < STATE_COUNT; i++) {
        if (strcmp(row.values[2].data, states[i]) == 0) {
            order->state = i;
        }
    }
    if (row.values[3].length != ORDER_MARK_SIZE) {
        return DB_WRONG;
    }
    snprintf(order->user, sizeof(order->user), "%s",
             (const char *)row.values[0].data);
    order->amount = row.values[1].number;
    memcpy(order->mark, row.values[3].data, ORDER_MARK_SIZE);
    order->is_new = row.values[4].type != DB_NULL;
    return DB_OK;
}

static enum db_answer write_ledger(struct db *db,
                                   const struct order_request *request, bool in)
{
    const char *id = request->id, *stage = stages[request->stage];
    struct timespec now;
    if (request->dies) {
        raise(SIGKILL);
    }
    if (request->stops) {
        raise(SIGSTOP);
    }
    clock_gettime(CLOCK_REALTIME, &now);
    const char *logic = in ? "new" : "old";
    const struct db_value values[] = {
        db_bytes(DB_TEXT, id, strlen(id)),
        db_bytes(DB_TEXT, stage, strlen(stage)),
        db_bytes(DB_TEXT, logic, strlen(logic)),
        db_int((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000)};
    return db_run(db,
                  "INSERT INTO ledger (order_id, stage, logic, at_ms)"
                  " VALUES ($1, $2, $3, $4)",
                  values, 4, NULL);
}

/* The two logics.  They share the customer's words and nothing else. */
static enum db_answer insert(struct db *db, const struct order_request *request,
                             bool in, const uint8_t *mark, bool *ret_made)
{
    struct db_row row;
    struct db_value values[7] = {
        db_bytes(DB_TEXT, request->id, strlen(request->id)),
        db_bytes(DB_TEXT, request->user, strlen(request->user)),
        db_int(request->amount), db_bytes(DB_BLOB, mark, ORDER_MARK_SIZE)};
    enum db_answer answer;
    if (in) {
        int64_t net = request->amount * 100 / 119;
        const char *promo = request->amount >= 10000 ? "big-order" : "none";
        values[4] = db_int(net);
        values[5] = db_int(request->amount - net);
        values[6] = db_bytes(DB_TEXT, promo, strlen(promo));
        answer = db_run(db,
                        "INSERT INTO orders (order_id, user_id, amount, mark,"
                        " net_amount, tax_amount, promo, state) VALUES"
                        " ($1, $2, $3, $4, $5, $6, $7, 'created')"
                        " ON CONFLICT (order_id) DO NOTHING",
                        values, 7, &row);
    } else {
        int64_t discount = request->amount >= 10000 ? request->amount / 20 : 0;
        values[4] = db_int(request->amount - discount);
        values[5] = db_int(discount);
        answer = db_run(db,
                        "INSERT INTO orders (order_id, user_id, amount, mark,"
                        " price_cents, discount_cents, state) VALUES"
                        " ($1, $2, $3, $4, $5, $6, 'created')"
                        " ON CONFLICT (order_id) DO NOTHING",
                        values, 6, &row);
    }
    *ret_made = row.changed == 1;
    return answer;
}

static enum db_answer update(struct db *db, const char *id,
                             enum order_stage stage, bool in, bool *ret_done)
{
    static const char *const sql[2][2] = {
        {"UPDATE orders SET state = 'paid',"
         " paid_cents = COALESCE(price_cents, amount)"
         " WHERE order_id = $1 AND state = 'created'",
         "UPDATE orders SET state = 'paid', captured = amount"
         " WHERE order_id = $1 AND state = 'created'"},
        {"UPDATE orders SET state = 'refunded',"
         " refunded_cents = COALESCE(paid_cents, amount)"
         " WHERE order_id = $1 AND state = 'paid'",
         "UPDATE orders SET state = 'refunded',"
         " credited = COALESCE(captured, amount)"
         " WHERE order_id = $1 AND state = 'paid'"}};
    struct db_row row;
    struct db_value key = db_bytes(DB_TEXT, id, strlen(id));
    enum db_answer answer =
        db_run(db, sql[stage == ORDER_REFUND][in], &key, 1, &row);
    *ret_done = row.changed == 1;
    return answer;
}

/* ---- the question
 * ------------------------------------------------------------- */

/* What is known of the order; with a fault of ours planted, something else. */
static void ask(const struct order_request *request, enum order_known known,
                const struct order *order, struct order_verdict *verdict)
{
    if ((known == KNOWN_MARK && bug == BUG_IGNORE_MARK) ||
        (known == KNOWN_NOT && bug == BUG_UNKNOWN_AS_ABSENT)) {
        known = KNOWN_ABSENT;
    }
    gray_ask(request->stage, request->id, known, order->mark, verdict);
    /* The release was killed, so everybody is to be served by the old logic;
     * but it cannot read what the new one wrote: it waits for a person. */
    if (bug == BUG_NONE && known == KNOWN_MARK && order->is_new &&
        !verdict->in) {
        verdict->hold = true;
    }
}

/* The fault of who takes every answer for a first one. */
static enum db_answer plant_rewrite(struct db *db, enum order_stage stage,
                                    const char *id)
{
    struct order_verdict verdict;
    gray_ask(stage, id, KNOWN_ABSENT, NULL, &verdict);
    const struct db_value values[] = {
        db_bytes(DB_BLOB, verdict.mark, ORDER_MARK_SIZE),
        db_bytes(DB_TEXT, id, strlen(id))};
    return db_run(db, "UPDATE orders SET mark = $1 WHERE order_id = $2", values,
                  2, NULL);
}

/* ---- stages
 * -------------------------------------------------------------------- */

/* The order is there already: as it stands. */
static enum db_answer create_again(const struct order_request *request,
                                   const struct order *order,
                                   struct order_answer *answer)
{
    struct order_verdict verdict;
    ask(request, KNOWN_MARK, order, &verdict);
    if (verdict.hold) {
        say_later(answer, "hold", verdict.reason);
    } else if (strcmp(order->user, request->user) != 0 ||
               order->amount != request->amount) {
        say(answer, 409, "{\"error\":\"another order has this id\"}\n");
    } else {
        say_order(answer, 200, request, order, verdict.in, verdict.reason);
    }
    return DB_OK;
}

/* A process that was stopped for a while may have decided before a freeze that
 * did not wait for it. */
static bool is_still_in(const struct order_request *request)
{
    struct order_verdict verdict;
    gray_ask(request->stage, request->id, KNOWN_ABSENT, NULL, &verdict);
    return verdict.in && !verdict.hold;
}

/* Why a transaction is to be tried once more. */
enum again {
    AGAIN_NO,
    AGAIN_LATE, /* the row could not be read in time */
    AGAIN_MOVED /* nobody new is let in by now */
};

static enum db_answer create(struct db *db, const struct order_request *request,
                             enum order_known known, struct order *order,
                             struct order_answer *answer, enum again *ret_again)
{
    struct order_verdict verdict;
    bool made = false;
    if (known == KNOWN_MARK) {
        return create_again(request, order, answer);
    }
    ask(request, known, order, &verdict);
    if (verdict.hold) {
        say_later(answer, "hold", verdict.reason);
        return DB_OK;
    }
    enum db_answer done = insert(db, request, verdict.in, verdict.mark, &made);
    if (done == DB_OK && !made) {
        /* somebody was faster: their mark counts, ours was never seen */
        bool there = false;
        done = find(db, request->id, order, &there);
        if (done == DB_OK && !there) {
            done = DB_SILENT;
        }
        return done != DB_OK ? done : create_again(request, order, answer);
    }
    if (done == DB_OK) {
        done = write_ledger(db, request, verdict.in);
    }
    if (done == DB_OK && verdict.in && !is_still_in(request)) {
        *ret_again = AGAIN_MOVED;
        return DB_SILENT;
    }
    if (done == DB_OK) {
        order->state = STATE_CREATED;
        order->amount = request->amount;
        snprintf(order->user, sizeof(order->user), "%s", request->user);
        memcpy(order->mark, verdict.mark, ORDER_MARK_SIZE);
        say_order(answer, 201, request, order, verdict.in, verdict.reason);
    }
    return done;
}

static enum db_answer advance(struct db *db,
                              const struct order_request *request,
                              enum order_known known, struct order *order,
                              struct order_answer *answer)
{
    struct order_verdict verdict;
    bool written = false;
    int wanted = request->stage == ORDER_PAY ? STATE_PAID : STATE_REFUNDED;
    if (known == KNOWN_ABSENT) {
        say(answer, 404, "{\"error\":\"there is no such order\"}\n");
        return DB_OK;
    }
    ask(request, known, order, &verdict);
    if (verdict.hold) {
        say_later(answer, "hold", verdict.reason);
        return DB_OK;
    }
    if (known == KNOWN_MARK && order->state >= wanted) {
        say_order(answer, 200, request, order, verdict.in, verdict.reason);
        return DB_OK;
    }
    enum db_answer done =
        update(db, request->id, request->stage, verdict.in, &written);
    if (done == DB_OK && !written) {
        say(answer, 409, "{\"error\":\"it is not time for that\"}\n");
        return DB_OK;
    }
    if (done == DB_OK) {
        done = write_ledger(db, request, verdict.in);
    }
    if (done == DB_OK && bug == BUG_REWRITE_MARK) {
        done = plant_rewrite(db, request->stage, request->id);
    }
    if (done == DB_OK) {
        order->state = wanted;
        say_order(answer, 200, request, order, verdict.in, verdict.reason);
    }
    return done;
}

static enum db_answer look(const struct order_request *request,
                           enum order_known known, const struct order *order,
                           struct order_answer *answer)
{
    if (known == KNOWN_MARK) {
        say_order(answer, 200, request, order, order->is_new, "row");
    } else if (known == KNOWN_ABSENT) {
        say(answer, 404, "{\"error\":\"there is no such order\"}\n");
    } else {
        say_later(answer, "hold", "unknown");
    }
    return DB_OK;
}

/* Inside a transaction: the row, then what the stage does.  `late`: the row
 * cannot be read in time. */
static enum db_answer attempt(struct db *db,
                              const struct order_request *request, bool late,
                              struct order_answer *answer,
                              enum again *ret_again)
{
    struct order order = {0};
    enum order_known known = KNOWN_NOT;
    if (!late) {
        bool there = false;
        enum db_answer found = find(db, request->id, &order, &there);
        if (found != DB_OK) {
            *ret_again = found == DB_SILENT ? AGAIN_LATE : AGAIN_NO;
            return found;
        }
        known = there ? KNOWN_MARK : KNOWN_ABSENT;
    }
    switch (request->stage) {
    case ORDER_CREATE:
        return create(db, request, known, &order, answer, ret_again);
    case ORDER_LOOK:
        return look(request, known, &order, answer);
    default:
        return advance(db, request, known, &order, answer);
    }
}

/* One transaction.  Between its question and its commit nothing is
 * acknowledged to who freezes. */
static enum db_answer transact(struct db *db,
                               const struct order_request *request, bool late,
                               struct order_answer *answer,
                               enum again *ret_again)
{
    gray_begin();
    enum db_answer done = db_run(db, db->kind->begin, NULL, 0, NULL);
    if (done == DB_OK) {
        done = attempt(db, request, late, answer, ret_again);
    } else if (done == DB_SILENT) {
        *ret_again = AGAIN_LATE;
    }
    if (request->stalls) {
        fprintf(stderr, "orders: %s stalls\n", request->id);
        usleep(STALL_US);
    }
    if (done == DB_OK) {
        done = db_run(db, "COMMIT", NULL, 0, NULL);
    }
    if (done != DB_OK) {
        db_run(db, "ROLLBACK", NULL, 0, NULL);
    }
    gray_end();
    return done;
}

void order_do(const struct order_request *request,
              struct order_answer *ret_answer)
{
    struct db *db = db_take();
    bool late = request->lookup_is_late;
    enum db_answer done = DB_SILENT;
    for (int tries = 0; tries < TRIES; tries++) {
        enum again again = AGAIN_NO;
        done = transact(db, request, late, ret_answer, &again);
        if (again == AGAIN_NO || (again == AGAIN_LATE && late)) {
            break;
        }
        /* late: once more, to hear what is to be done unknowing */
        late = late || again == AGAIN_LATE;
    }
    if (done == DB_SILENT) {
        say_later(ret_answer, "store", "not in time");
    } else if (done == DB_WRONG) {
        fprintf(stderr, "orders: %s: %s\n", stages[request->stage],
                db->problem);
        say(ret_answer, 500, "{\"error\":\"the store refused it\"}\n");
    }
    db_give(db);
}
