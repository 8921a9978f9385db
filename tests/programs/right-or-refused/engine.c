/* A library that has to be set up before it answers, and keeps what it needs in statics and in C's heap. */
#include <stdlib.h>

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
