/* Engines of one deployment, two seconds a tick; engines.py compiles this and says what the fields mean.
 *
 * An engine reads prompts in the order of arrival, in chunks of 2,048 tokens with a decode step for the others between
 * two chunks, and gives every running sequence one token a step. Requests go to the replica with the fewest sequences.
 * First tokens and last ones are timed inside a tick; slots are freed and requests routed once a tick. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 128, MOST = 1024, TICK = 2, CYCLE = 20, MINUTE = 30 };
enum { INPUTS, OUTPUTS, BUSY, FIRST, LATE, ANSWERS, SLOW, COUNTS };
static const double GIVES_UP = 60.0, LEAST_LEFT = 1e-6;

typedef struct { double base, per_sequence, per_token, chunk; } Law;
typedef struct { const double *at, *inputs, *outputs, *prefill; long count; } Requests;
typedef struct { double ttft, tpot, kv_tokens; int most; } Limits;
typedef struct { double requests, ttft_met, tpot_met, gpu_seconds; } Outcome;
typedef int (*Asked)(const double *seen);

typedef struct {
    int draining, running;
    double busy, cached, free_at, step;
    double left[SLOTS], first[SLOTS], answer[SLOTS], cache[SLOTS];
} Engine;

typedef struct {
    Law law;
    Limits limits;
    Requests day;
    const double *start_times;
    long starts_drawn, starts_used, queue_from, queue_to;
    Engine *engines[MOST];
    double starting[MOST], work[MOST], recent[MINUTE][COUNTS], now[COUNTS];
    int serving, pending;
    Outcome outcome;
} Deployment;

static double at_least(double least, double value) { return value > least ? value : least; }

static void add(Deployment *d, double now) {
    Engine *engine = calloc(1, sizeof *engine);
    engine->free_at = now;
    engine->step = d->law.base;
    d->engines[d->serving++] = engine;
}

static void start_ready(Deployment *d, double now) {
    int kept = 0;
    for (int i = 0; i < d->pending; i++) {
        if (d->starting[i] <= now) add(d, now);
        else d->starting[kept++] = d->starting[i];
    }
    d->pending = kept;
}

/* Who gave up counts as arrived, and as promised nothing that was kept. */
static void arrive(Deployment *d, double now) {
    int queued = d->queue_to > d->queue_from;
    for (; d->queue_to < d->day.count && d->day.at[d->queue_to] < now + TICK; d->queue_to++) d->outcome.requests++;
    while (queued && d->queue_from < d->queue_to && d->day.at[d->queue_from] < now - GIVES_UP) d->queue_from++;
}

/* How many each gets so that all end up with as equal a number as can be. */
static int share_out(Deployment *d, long number, int *shares) {
    int order[MOST], open = 0, most = 0;
    for (int i = 0; i < d->serving; i++) {
        if (d->engines[i]->draining) continue;
        int place = open++;
        for (; place > 0 && d->engines[order[place - 1]]->running > d->engines[i]->running; place--)
            order[place] = order[place - 1];
        order[place] = i;
    }
    long level = 0, behind = 0, rows = 0;
    for (int rank = 0; rank < open; rank++) {
        long running = d->engines[order[rank]]->running;
        if (running * (rank + 1) - (behind + running) > number) break;
        behind += running;
        rows++;
    }
    level = (number + behind) / rows;
    for (int rank = 0; rank < rows; rank++) {
        int share = (int)(level - d->engines[order[rank]]->running) + (rank < (number + behind) % rows);
        shares[order[rank]] = share;
        if (share > most) most = share;
    }
    return most;
}

/* A prompt in turn, then the answer in a free slot; between two chunks those that decode take a step. */
static void admit_one(Deployment *d, Engine *engine, long request, double *work) {
    double service = d->day.prefill[request] * (1.0 + engine->step / d->law.chunk);
    engine->free_at = at_least(d->day.at[request], engine->free_at) + service;
    double first = engine->free_at + engine->step;
    int slot = engine->running++;
    engine->left[slot] = at_least(LEAST_LEFT, d->day.outputs[request] - 1.0);
    engine->first[slot] = first;
    engine->answer[slot] = d->day.outputs[request];
    engine->cache[slot] = d->day.inputs[request] + d->day.outputs[request] / 2.0;
    engine->cached += engine->cache[slot];
    *work += service;
    d->now[INPUTS] += d->day.inputs[request];
    d->now[FIRST]++;
    d->now[LATE] += first - d->day.at[request] > d->limits.ttft;
}

static void admit(Deployment *d) {
    long room = 0, number = d->queue_to - d->queue_from;
    for (int i = 0; i < d->serving; i++) room += d->engines[i]->draining ? 0 : SLOTS - d->engines[i]->running;
    if (number > room) number = room;
    if (number == 0) return;
    int shares[MOST] = {0}, most = share_out(d, number, shares);
    for (int turn = 0; turn < most; turn++)
        for (int i = 0; i < d->serving; i++)
            if (shares[i] > turn) admit_one(d, d->engines[i], d->queue_from++, &d->work[i]);
}

/* The last sequence takes the slot of the one that ends. */
static void end(Deployment *d, Engine *engine, int slot, double finish) {
    int last = --engine->running;
    double tokens = engine->answer[slot] - 1.0;
    d->now[ANSWERS]++;
    d->now[SLOW] += tokens > 0.0 && (finish - engine->first[slot]) / at_least(1.0, tokens) > d->limits.tpot;
    engine->cached -= engine->cache[slot];
    engine->left[slot] = engine->left[last];
    engine->first[slot] = engine->first[last];
    engine->answer[slot] = engine->answer[last];
    engine->cache[slot] = engine->cache[last];
}

/* A tick in which prompts take `reading` of the engine's time. */
static void decode(Deployment *d, Engine *engine, double start, double reading) {
    engine->step = d->law.base + d->law.per_sequence * engine->running + d->law.per_token * engine->cached;
    double pace = (1.0 - reading / (1.0 + engine->step / d->law.chunk)) / engine->step, all = 0.0;
    for (int slot = engine->running - 1; slot >= 0; slot--) {
        double began = at_least(start, engine->first[slot]);
        double given = pace * at_least(0.0, start + TICK - began), left = engine->left[slot];
        all += given < left ? given : left;
        if (given < left) engine->left[slot] -= given;
        else end(d, engine, slot, began + left / pace);
    }
    engine->busy = fmin(1.0, reading + all * engine->step / TICK);
    d->now[OUTPUTS] += all;
}

static void tick(Deployment *d, double now) {
    memset(d->now, 0, sizeof d->now);
    start_ready(d, now);
    arrive(d, now);
    for (int i = 0; i < d->serving; i++) d->work[i] = at_least(0.0, d->engines[i]->free_at - now);
    admit(d);
    int taking = 0, kept = 0;
    for (int i = 0; i < d->serving; i++) {
        Engine *engine = d->engines[i];
        double behind = at_least(0.0, engine->free_at - now - TICK);
        decode(d, engine, now, fmin(1.0, at_least(0.0, (d->work[i] - behind) / TICK)));
        d->now[BUSY] += engine->draining ? 0.0 : engine->busy;
        taking += !engine->draining;
    }
    d->now[BUSY] /= at_least(1.0, taking);
    memcpy(d->recent[(long)now / TICK % MINUTE], d->now, sizeof d->now);
    d->outcome.ttft_met += d->now[FIRST] - d->now[LATE];
    d->outcome.tpot_met += d->now[ANSWERS] - d->now[SLOW];
    for (int i = 0; i < d->serving; i++) {
        if (d->engines[i]->draining && d->engines[i]->running == 0) free(d->engines[i]);
        else d->engines[kept++] = d->engines[i];
    }
    d->serving = kept;
    d->outcome.gpu_seconds += TICK * (kept + d->pending);
}

/* In the order of deployment.Metrics. How many replicas there are, starting ones included. */
static int look(Deployment *d, double now, double *seen) {
    double ready = 0.0, running = 0.0, waiting = (double)(d->queue_to - d->queue_from), cache = 0.0, counts[COUNTS] = {0};
    for (int i = 0; i < d->serving; i++) {
        Engine *engine = d->engines[i];
        int reading = 0;
        for (int slot = 0; slot < engine->running; slot++) reading += engine->first[slot] > now + TICK;
        waiting += reading;
        running += engine->running - reading;
        ready += !engine->draining;
        cache += engine->draining ? 0.0 : engine->cached / d->limits.kv_tokens;
    }
    for (int row = 0; row < MINUTE; row++)
        for (int count = 0; count < COUNTS; count++) counts[count] += d->recent[row][count];
    double all[] = {now, ready, d->pending, counts[INPUTS] / (MINUTE * TICK), counts[OUTPUTS] / (MINUTE * TICK),
                    running, waiting, cache / at_least(1.0, ready), counts[BUSY] / MINUTE,
                    counts[FIRST], counts[LATE], counts[ANSWERS], counts[SLOW]};
    memcpy(seen, all, sizeof all);
    return (int)ready + d->pending;
}

static int later(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* Of those that start the last ones go first, then the replicas with the fewest sequences take no more requests. */
static void give_back(Deployment *d, int surplus) {
    qsort(d->starting, (size_t)d->pending, sizeof(double), later);
    for (; surplus > 0 && d->pending > 0; surplus--) d->pending--;
    for (; surplus > 0; surplus--) {
        Engine *least = NULL;
        for (int i = 0; i < d->serving; i++)
            if (!d->engines[i]->draining && (!least || d->engines[i]->running < least->running)) least = d->engines[i];
        if (least) least->draining = 1;
    }
}

static void scale(Deployment *d, double now, int have, int wanted) {
    wanted = wanted < 1 ? 1 : wanted > d->limits.most ? d->limits.most : wanted;
    for (int i = have; i < wanted; i++)
        d->starting[d->pending++] = now + d->start_times[d->starts_used++ % d->starts_drawn];
    give_back(d, have - wanted);
}

/* `asked` answers with a number of replicas, or below 0 to leave them. Numbers of replicas that were written. */
long replay(Law law, Limits limits, Requests day, const double *start_times, long starts_drawn, int first,
            double begin, double until, double asked_from, Asked asked, Outcome *outcome, int *replicas) {
    Deployment d = {.law = law, .limits = limits, .day = day, .start_times = start_times, .starts_drawn = starts_drawn};
    double seen[13];
    long said = 0;
    for (int i = 0; i < first; i++) add(&d, 0.0);
    for (double now = begin; now < until; now += TICK) {
        tick(&d, now);
        if ((long)now % CYCLE) continue;
        int have = replicas[said++] = look(&d, now, seen), wanted = now < asked_from ? -1 : asked(seen);
        if (wanted >= 0) scale(&d, now, have, wanted);
    }
    for (int i = 0; i < d.serving; i++) free(d.engines[i]);
    *outcome = d.outcome;
    return said;
}
