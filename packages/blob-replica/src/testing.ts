/** What a store of blobs has to do: named cases on `node:assert`, for every store and every composition. */
export {};
