/* true: the program of the bare spawn, which all else is measured against. */
int main(void)
{
    return 0;
}
