/* screen: what a command left set in a terminal, and the sequences that take it back. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "screen.h"

#define ENDS "\030\033\\"

static const char *undo(struct screen *screen)
{
    static char text[SCREEN_UNDO];

    text[screen_undo(screen, text)] = '\0';
    return text;
}

static const char *after(const char *bytes)
{
    struct screen screen = {0};

    screen_given(&screen, bytes, strlen(bytes));
    return undo(&screen);
}

static void each_is_taken_back(void **state)
{
    static const struct {
        const char *given, *undo;
    } rows[] = {
        {"", ""},
        {"plain \033[1;31mred\033[0m \033(0\033[2J\033[H\033]0;title\a", ""},
        {"\033[?1049h\033[?1h\033=", ENDS "\033[?1049l\033[?1l\033>"},
        {"\033[?1049h\033[?1h\033=text\033[?1l\033>\033[?1049l", ""},
        {"\033[?1049h\033[?47l", ""}, /* the same screen by another name */
        {"\033[?25l", ENDS "\033[?25h"},
        {"\033[?25h\033[?7h", ""},
        {"\033[?1000;1002;1006h\033[?2004h", ENDS "\033[?1000l\033[?1002l\033[?1006l\033[?2004l"},
        {"\033[3;4r\033[?6h", ENDS "\033[?6l\033[999H\0337\033[r\0338"},
        {"\033[4h", ENDS "\033[4l"},
        {"\033[?4h\033[25l", ""}, /* other modes that share a number */
        {"\033[2;9r", ENDS "\0337\033[r\0338"},
        {"\033[2;9r\033[r", ""},
        {"\033[?2;9r", ""}, /* restores modes */
        {"\033[>4;2m", ENDS "\033[>4m"},
        {"\033[>4;2m\033[>4m", ""},
        {"\033[>1u", ENDS "\033[<9u"},
        {"\033[>1u\033[<u", ""},
        {"\033[?25l\033c", ""},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_string_equal(after(rows[i].given), rows[i].undo);
}

static void odd_forms(void **state)
{
    (void)state;
    assert_string_equal(after("\033[?25$p\033[?25 h"), "");                  /* a question; a form of its own */
    assert_string_equal(after("\033[?2\n5l"), ENDS "\033[?25h");             /* a control is done at once */
    assert_string_equal(after("\033[?2\0305l"), "");                         /* CAN ends it */
    assert_string_equal(after("\033[?\033[?25l"), ENDS "\033[?25h");         /* as does another one */
    assert_string_equal(after("\033]0;\033[?25l"), ENDS "\033[?25h");
    assert_string_equal(after("\033[?99999999999999999999;65561;25l"), ENDS "\033[?25h"); /* 65561 is 25 and 2^16 */
    assert_string_equal(after("\033[?65561l"), "");
    assert_string_equal(after("\033(\033[?25l\033(["), ENDS "\033[?25h");
    assert_string_equal(after("\033([?25l"), "");
}

/* However it is cut. */
static void in_pieces(void **state)
{
    static const char bytes[] = "ab\033[?1049;25hcd\033[?7;25lef\033[2;5r\033=";
    const char *whole;

    (void)state;
    whole = strdup(after(bytes));
    for (size_t cut = 0; cut < sizeof bytes - 1; cut++) {
        struct screen screen = {0};
        screen_given(&screen, bytes, cut);
        screen_given(&screen, bytes + cut, sizeof bytes - 1 - cut);
        assert_string_equal(undo(&screen), whole);
        assert_string_equal(undo(&screen), ""); /* once */
    }
    free((void *)(uintptr_t)whole);
}

/* All at once has room, and undoes itself: what takes back leaves nothing. */
static void all_of_it(void **state)
{
    struct screen screen = {.left = ~(uint32_t)0};
    char text[SCREEN_UNDO];
    size_t length = screen_undo(&screen, text);

    (void)state;
    assert_true(length > 100 && length <= SCREEN_UNDO);
    screen.left = ~(uint32_t)0 >> 7; /* of the 25 that there are */
    screen_given(&screen, text, length);
    assert_int_equal(screen.left, 0);
}

static unsigned next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u; /* Knuth's */
    return (unsigned)(*seed >> 33);
}

static void noise(void **state)
{
    uint64_t seed = 1;
    struct screen screen = {0};
    char bytes[4096], text[SCREEN_UNDO];

    (void)state;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = next(&seed) % 4 ? "\033[?;0125hlrmu>"[next(&seed) % 14] : (char)next(&seed);
        screen_given(&screen, bytes, sizeof bytes);
        assert_true(screen.count <= SCREEN_NUMBERS);
        if (round % 7 == 0)
            assert_true(screen_undo(&screen, text) <= sizeof text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_taken_back), cmocka_unit_test(odd_forms), cmocka_unit_test(in_pieces),
        cmocka_unit_test(all_of_it),          cmocka_unit_test(noise),
    };

    return cmocka_run_group_tests_name("screen", tests, NULL, NULL);
}
