/* A library that has to be set up before it answers, and keeps what it needs in statics and in C's heap. */
#include <stdlib.h>
#include <string.h>

static int squares[16];
static int *cubes;

void engine_set_up(void) {
    for (int i = 0; i < 16; i++) squares[i] = i * i;
}

void engine_set_up_heap(void) {
    cubes = malloc(16 * sizeof *cubes);
    for (int i = 0; i < 16; i++) cubes[i] = i * i * i;
}

int engine_square(int n) { return squares[n & 15]; }
int engine_cube(int n) { return cubes ? cubes[n & 15] : -1; }

/* Data that is not zero when the program begins. */
static int scale[4] = {1, 1, 1, 1};
void engine_scale(int by) { for (int i = 0; i < 4; i++) scale[i] *= by; }
int engine_scaled(int n) { return n * scale[n & 3]; }

/* A string in C's heap that a static of C refers to. */
static char *text;
int engine_keep(const char *new_text) { return text || (text = strdup(new_text)); }
int engine_kept(void) { return text ? (int)strlen(text) : 0; }

/* Whether this is the first call. */
int engine_first(void) {
    static int called;
    return !called++;
}
