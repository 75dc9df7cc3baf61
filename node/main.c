#include "node/allocators.h"
#include "node/cli.h"

int main(int argc, char **argv)
{
    allocators_install();
    return cli_main(argc, argv);
}
