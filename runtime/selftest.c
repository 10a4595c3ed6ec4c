#include "selftest.h"

int selftest_inside(void)
{
    return 1; /* the probes come with the attack suite */
}
