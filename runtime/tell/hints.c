#include "hints_list.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void hints_say(struct hints_list *list, const char *about, const char *format, ...)
{
    va_list args;

    if (list->count == HINTS_MOST)
        return;
    list->hints[list->count].about = about;
    va_start(args, format);
    vsnprintf(list->hints[list->count].text, sizeof list->hints[0].text, format, args);
    va_end(args);
    list->count++;
}

/* More of the sentence that say() began. */
void hints_add(struct hints_list *list, const char *format, ...)
{
    char *text = list->hints[list->count - 1].text;
    size_t length = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + length, sizeof list->hints[0].text - length, format, args);
    va_end(args);
}

const char *hints_times(uint64_t count, char text[32])
{
    if (count == 1)
        return "once";
    snprintf(text, 32, "%llu times", (unsigned long long)count);
    return text;
}

static void name_program(struct hints_list *list)
{
    const char *name = list->spec->argv && list->spec->argv[0] ? list->spec->argv[0] : "the command", *slash = strrchr(name, '/');

    snprintf(list->program, sizeof list->program, "%s", slash && slash[1] ? slash + 1 : name);
}

size_t hints_make(const struct spec *spec, const struct plan *plan, const struct outcome *outcome, struct hint hints[HINTS_MOST])
{
    struct hints_list list = {.spec = spec, .plan = plan, .outcome = outcome, .hints = hints};

    if (!plan || outcome->kind == OUTCOME_SETUP_FAILED) {
        hints_setup(&list);
        return list.count;
    }
    name_program(&list);
    hints_circumstances(&list);
    hints_limits(&list);
    hints_ending(&list);
    return list.count;
}

void hints_write(struct json *json, const struct spec *spec, const struct plan *plan, const struct outcome *outcome)
{
    struct hint hints[HINTS_MOST];
    size_t count = hints_make(spec, plan, outcome, hints);

    json_open(json, "hints", '[');
    for (size_t i = 0; i < count; i++) {
        json_open(json, NULL, '{');
        json_string(json, "about", hints[i].about);
        json_string(json, "hint", hints[i].text);
        json_close(json, '}');
    }
    json_close(json, ']');
}
