/* screen: what a command has told the terminal that shows it and not taken back: the other screen, a hidden cursor, mouse reports. Pure.
 * xterm's control sequences (invisible-island.net/xterm/ctlseqs), which the others follow; of them those that outlive a program. */
#ifndef BIVY_SCREEN_H
#define BIVY_SCREEN_H

#include <stddef.h>
#include <stdint.h>

#define SCREEN_UNDO 320 /* room for all that can have to be undone */
#define SCREEN_NUMBERS 32

struct screen {
    uint32_t left; /* a bit for each thing that is not as a terminal has it by itself */
    int state;     /* within a sequence, which may come in pieces */
    char prefix;   /* ? > < = of a control sequence; 0: none */
    unsigned count;
    uint16_t numbers[SCREEN_NUMBERS];
};

/* The terminal was given these bytes. */
void screen_given(struct screen *screen, const char *bytes, size_t length);

/* What takes back what is left, and forgets it. The length written; 0: nothing is. */
size_t screen_undo(struct screen *screen, char text[SCREEN_UNDO]);

#endif
