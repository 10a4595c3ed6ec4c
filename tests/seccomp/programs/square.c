#include "square.h"

long square(long number)
{
    return number * number;
}
