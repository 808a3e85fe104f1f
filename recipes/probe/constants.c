/* The constants of the compiled program, where Nuitka's runtime looks for them. */
unsigned const char *getconstant_binData(void);

unsigned const char *getconstant_binData(void)
{
    static const unsigned char data[] = {
#embed "constants.bin"
    };
    return data;
}
