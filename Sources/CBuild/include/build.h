// What the build was told about itself: the one fact that no source file can hold.
#ifndef MOETOP_BUILD_H
#define MOETOP_BUILD_H

/* The commit that was built, as `git describe --always --dirty` names it; NULL when the build was not told. */
const char *moetop_commit(void);

#endif
