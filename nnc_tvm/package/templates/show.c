static void show_@DTYPE@(const char *name, const @TYPE@ *data, long count, float scale, int zero_point)
{
    long i, best = 0;
    for (i = 1; i < count; i++)
        if (data[i] > data[best]) best = i;
    printf("%s:", name);
    for (i = 0; i < count && i < 16; i++) printf(" %g", (double)data[i]);
    printf("%s\n%s: the largest of %ld is element %ld, %g\n", count > 16 ? " ..." : "", name, count, best,
           (double)scale * ((double)data[best] - (double)zero_point));
}
