# A file as a C array: cmake -DINPUT=docs/x.yaml -DOUTPUT=x.c -DNAME=x_yaml -P cmake/embed.cmake
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUTPUT} "#include \"node/openapi.h\"\n\n"
    "const uint8_t ${NAME}[] = {${bytes}};\nconst size_t ${NAME}_size = sizeof ${NAME};\n")
