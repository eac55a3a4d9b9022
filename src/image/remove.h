/* Removes trees that somebody hostile may have made: deeper than any function may call itself. */
#pragma once

/* Removes NAME below the directory AT (borrowed) and all in it. What is too deep is first moved up, to
 * names in AT that begin with ".old-". A missing NAME is no error. 0 or -errno. */
int remove_deep(int at, const char *name);
