#include "screen.h"

#include <stdbool.h>
#include <string.h>

#define ESCAPE '\033'
#define CAN 0x18
#define SUB 0x1a
#define ENDS "\030\033\\" /* ends whatever sequence the command was in the middle of */

enum state { PLAIN, ESCAPED, ESCAPED_MORE, CONTROL, CONTROL_ODD };

/* The row's number is the bit. In the order in which they are undone: the screen that people look at first, as it brings the cursor back to
 * where it was. */
static const struct mode {
    char prefix;
    uint16_t number;
    bool on; /* as a terminal has it */
    const char *undo;
} modes[] = {
    /* clang-format off */
    {'?', 2026, false, "\033[?2026l"}, /* what is drawn waits */
    {'?', 1049, false, "\033[?1049l"}, /* the other screen, of vi and less */
    {'?', 1047, false, "\033[?1047l"},
    {'?',   47, false, "\033[?47l"},
    {'?',    6, false, "\033[?6l\033[999H"}, /* lines count from the scrolling region; the cursor goes home, so down again */
    {'?',    7, true,  "\033[?7h"},    /* long lines wrap */
    {'?',   25, true,  "\033[?25h"},   /* the cursor is seen */
    {0,      4, false, "\033[4l"},     /* letters are inserted */
    {'?',    5, false, "\033[?5l"},    /* black on white */
    {'?',    1, false, "\033[?1l"},    /* arrow keys send other sequences */
    {'?',    9, false, "\033[?9l"},    /* mouse reports, and their forms */
    {'?', 1000, false, "\033[?1000l"},
    {'?', 1001, false, "\033[?1001l"},
    {'?', 1002, false, "\033[?1002l"},
    {'?', 1003, false, "\033[?1003l"},
    {'?', 1005, false, "\033[?1005l"},
    {'?', 1006, false, "\033[?1006l"},
    {'?', 1015, false, "\033[?1015l"},
    {'?', 1016, false, "\033[?1016l"},
    {'?', 1004, false, "\033[?1004l"}, /* reports of the window's focus */
    {'?', 2004, false, "\033[?2004l"}, /* pasted text is marked */
    /* clang-format on */
};
enum { MODES = sizeof modes / sizeof modes[0], KEYPAD = MODES, MARGINS, OTHER_KEYS, KITTY_KEYS, BITS };
_Static_assert(BITS <= 32, "a bit for each");

static const char *const undo_more[] = {
    [KEYPAD - MODES] = "\033>",
    [MARGINS - MODES] = "\0337\033[r\0338", /* which alone would move the cursor */
    [OTHER_KEYS - MODES] = "\033[>4m",      /* vim's; Ctrl-C would be a sequence */
    [KITTY_KEYS - MODES] = "\033[<9u",      /* likewise; as many as were stacked */
};

static void leave(struct screen *screen, int bit, bool left)
{
    screen->left = left ? screen->left | (uint32_t)1 << bit : screen->left & ~((uint32_t)1 << bit);
}

static bool other_screen(uint16_t number)
{
    return number == 47 || number == 1047 || number == 1049;
}

static void set_mode(struct screen *screen, uint16_t number, bool on)
{
    for (int i = 0; i < MODES; i++)
        if (modes[i].prefix == screen->prefix &&
            (modes[i].number == number || (!on && screen->prefix && other_screen(number) && other_screen(modes[i].number))))
            leave(screen, i, on != modes[i].on);
}

static uint16_t number_at(const struct screen *screen, unsigned at)
{
    return at < screen->count ? screen->numbers[at] : 0;
}

/* A control sequence is whole. */
static void control(struct screen *screen, char final)
{
    if (final == 'h' || final == 'l')
        for (unsigned i = 0; i < screen->count; i++)
            set_mode(screen, screen->numbers[i], final == 'h');
    else if (final == 'r' && !screen->prefix)
        leave(screen, MARGINS, number_at(screen, 0) > 1 || number_at(screen, 1) > 0);
    else if (final == 'm' && screen->prefix == '>' && (number_at(screen, 0) == 4 || number_at(screen, 0) == 0))
        leave(screen, OTHER_KEYS, number_at(screen, 0) == 4 && number_at(screen, 1) > 0);
    else if (final == 'u' && (screen->prefix == '>' || screen->prefix == '<'))
        leave(screen, KITTY_KEYS, screen->prefix == '>');
}

static void escape(struct screen *screen, char byte)
{
    screen->state = PLAIN;
    if (byte == '[') {
        screen->state = CONTROL;
        screen->prefix = 0;
        screen->count = 1;
        screen->numbers[0] = 0;
    } else if (byte >= ' ' && byte <= '/') {
        screen->state = ESCAPED_MORE; /* an alphabet, say: the letter that follows is part of it */
    } else if (byte == '=' || byte == '>') {
        leave(screen, KEYPAD, byte == '=');
    } else if (byte == 'c') {
        screen->left = 0; /* a reset */
    }
}

static void parameter(struct screen *screen, char byte)
{
    if (byte >= '0' && byte <= '9') {
        uint16_t *number = &screen->numbers[screen->count - 1];
        *number = *number > 6000 ? *number : (uint16_t)(*number * 10 + (byte - '0'));
    } else if (byte == ';' && screen->count < SCREEN_NUMBERS) {
        screen->numbers[screen->count++] = 0;
    } else if (byte >= '<' && byte <= '?') {
        screen->prefix = byte;
    } else {
        screen->state = CONTROL_ODD; /* a form that is none of ours: only its end matters */
    }
}

static void given(struct screen *screen, char byte)
{
    unsigned char value = (unsigned char)byte;

    if (byte == ESCAPE) {
        screen->state = ESCAPED;
    } else if (value == CAN || value == SUB) {
        screen->state = PLAIN;
    } else if (value < 0x20 || value == 0x7f) {
        return; /* done at once, also in the middle of a sequence */
    } else if (screen->state == ESCAPED) {
        escape(screen, byte);
    } else if (screen->state == ESCAPED_MORE) {
        screen->state = value <= '/' ? ESCAPED_MORE : PLAIN;
    } else if (screen->state == CONTROL && value < '@') {
        parameter(screen, byte);
    } else if (value >= '@' || screen->state == PLAIN) {
        if (screen->state == CONTROL)
            control(screen, byte);
        screen->state = PLAIN;
    }
}

void screen_given(struct screen *screen, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (screen->state == PLAIN) { /* most of it, and fast */
            const char *next = memchr(bytes + i, ESCAPE, length - i);
            if (!next)
                return;
            i = (size_t)(next - bytes);
        }
        given(screen, bytes[i]);
    }
}

static size_t add(char *text, size_t length, const char *more)
{
    size_t size = strlen(more);

    memcpy(text + length, more, size);
    return length + size;
}

size_t screen_undo(struct screen *screen, char text[SCREEN_UNDO])
{
    size_t length = 0;

    if (!screen->left)
        return 0;
    length = add(text, length, ENDS);
    for (int i = 0; i < BITS; i++)
        if (screen->left >> i & 1)
            length = add(text, length, i < MODES ? modes[i].undo : undo_more[i - MODES]);
    *screen = (struct screen){0};
    return length;
}
