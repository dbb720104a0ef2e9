/* SPDX-License-Identifier: Apache-2.0
 * experiment.c - is the new code as good as the old one?
 *
 * A shop wants to compute discounts in another way.  Both run on what people
 * really ask, everybody is told what the old code says, and the counts say
 * where the new one differs.  Input and result are plain bytes.
 *
 * usage: experiment FOLDER CALLS
 * build: cc experiment.c $(pkg-config --cflags --libs libgray)
 */
#include <gray.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

struct cart {
    int items, cents;
};
struct price {
    int cents;
};

static int old_price(void *input, void *result)
{
    const struct cart *cart = input;
    struct price *price = result;
    price->cents = cart->cents - (cart->items >= 10 ? cart->cents / 10 : 0);
    return 0;
}

/* Rounds where the old one cuts off. */
static int new_price(void *input, void *result)
{
    const struct cart *cart = input;
    struct price *price = result;
    price->cents =
        cart->items >= 10 ? (cart->cents * 9 + 5) / 10 : cart->cents;
    return 0;
}

/* A cent more or less is the same to us, in a thread of the library. */
static int differ(void *input, const void *control, const void *candidate)
{
    const struct price *a = control, *b = candidate;
    (void)input;
    return abs(a->cents - b->cents) > 1;
}

int main(int argc, char **argv)
{
    struct gray_client *client;
    struct gray_client_problem problem;
    if (argc != 3 || gray_client_open(&client, argv[1], &problem) != 0) {
        fprintf(stderr, "experiment: %s\n",
                argc != 3 ? "FOLDER CALLS" : problem.sentence);
        return 1;
    }
    long sum = 0;
    for (int i = 0; i < atoi(argv[2]); i++) {
        char user[16];
        struct cart cart = {i % 20, i * 7};
        struct price price;
        snprintf(user, sizeof(user), "user-%d", i % 100);
        struct gray_client_trial trial = {.size = sizeof(trial),
                                          .name = "new-price",
                                          .unit = user,
                                          .share = 500000, /* half of them */
                                          .deadline_ms = 1000,
                                          .control = old_price,
                                          .candidate = new_price,
                                          .differ = differ,
                                          .input = &cart,
                                          .input_size = sizeof(cart),
                                          .result_size = sizeof(price)};
        gray_client_experiment(client, &trial, &price);
        sum += price.cents; /* the old code's, always */
    }
    /* A server reads this when somebody asks for its metrics; here the last
     * ones are waited for: each is compared, or late. */
    struct gray_client_counts counts = {.size = sizeof(counts)};
    while (gray_client_experiment_read(client, "new-price", &counts) == 0 &&
           counts.same + counts.different + counts.late < counts.runs) {
        poll(NULL, 0, 1);
    }
    printf("sum %ld; %llu compared, %llu different, %llu left out\n",
           sum, (unsigned long long)(counts.same + counts.different),
           (unsigned long long)counts.different,
           (unsigned long long)counts.left_out);
    gray_client_close(client);
    return 0;
}
