/** A box in the browser for texts by key: IndexedDB, which holds far more than the rest of its storage. */

const STORE = "drafts";
let opened: Promise<IDBDatabase> | null = null;

function database(): Promise<IDBDatabase> {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("graphengine", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the browser keeps nothing"));
  });
  return opened;
}

/** What a request gives, once the transaction is complete: before that, a page that goes away takes it along. */
async function ask<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const transaction = (await database()).transaction(STORE, mode);
  const request = work(transaction.objectStore(STORE));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = () => reject(request.error ?? new Error("the browser keeps nothing"));
    transaction.onabort = transaction.onerror;
  });
}

/** The text under a key; undefined where there is none. */
export function take(key: string): Promise<string | undefined> {
  return ask("readonly", (store) => store.get(key) as IDBRequest<string | undefined>);
}

export async function put(key: string, text: string): Promise<void> {
  await ask("readwrite", (store) => store.put(text, key));
}

export async function drop(key: string): Promise<void> {
  await ask("readwrite", (store) => store.delete(key));
}

export async function keys(): Promise<string[]> {
  return (await ask("readonly", (store) => store.getAllKeys())).map(String);
}
