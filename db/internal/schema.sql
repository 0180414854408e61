-- For sqlc, which does not see what the first migration makes in a block.
create schema chatfeed;
