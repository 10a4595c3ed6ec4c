#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include "square.h"

static void *run(void *number)
{
    return (void *)(intptr_t)square((intptr_t)number);
}

int main(void)
{
    pthread_t threads[4];
    void *result;
    long sum = 0;

    for (intptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, run, (void *)(i + 1));
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        sum += (intptr_t)result;
    }
    printf("c %ld\n", sum);
    return sum != 30;
}
