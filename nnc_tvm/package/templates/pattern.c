static void pattern_@DTYPE@(@TYPE@ *data, long count)
{
    long i;
    for (i = 0; i < count; i++) data[i] = @VALUE@;
}
